"""The corpus as test cases: what an engine wrote, and what must become of it.

`ENGINE/CASE.json` is the engine's; beside it `CASE.expected.json` is the result, absent where nothing may change, and
`CASE.expected.txt` the explanation. `python -m tests.corpus.cases` writes the expected files anew: read the difference
before it is committed.
"""

from __future__ import annotations

import re
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from oci_systemd.core.adjust import Adjustment, adjust
from oci_systemd.core.apply import apply
from oci_systemd.core.container import from_spec
from oci_systemd.core.errors import Problem
from oci_systemd.core.host import BLANK, ELF, Host, Root
from oci_systemd.core.json_text import parse, patch
from oci_systemd.core.settings import Settings

if TYPE_CHECKING:
    from oci_systemd.core.json_text import Json

CORPUS = Path(__file__).parent

# The root file system that every case has: Debian 13 with systemd-sysv, as its packages make it.
DEBIAN = Root(
    links={
        "/bin": "usr/bin",
        "/lib": "usr/lib",
        "/sbin": "usr/sbin",
        "/usr/sbin/init": "../lib/systemd/systemd",
        "/var/lock": "/run/lock",
        "/var/run": "/run",
    },
    files={"/etc/machine-id": BLANK, "/usr/lib/systemd/systemd": ELF},
)


class CorpusCase:
    """One file of the corpus. The container's ID is the last part of its cgroup's path, as every engine makes it."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.name = f"{path.parent.name}/{path.stem}"
        self.data = path.read_bytes()
        self.text, self.spec = parse(self.data)
        found = re.search(r'"cgroupsPath": ?"[^"]*[:/]([^":/]+)"', self.text)
        self.id = found.group(1) if found else "example"
        self.expected_text = path.with_suffix(".expected.json")
        self.expected_explanation = path.with_suffix(".expected.txt")

    def adjustment(self, root: Root | None = DEBIAN) -> Adjustment:
        return adjust(from_spec(self.spec, self.id), Settings(), Host(root=root))

    def result(self, root: Root | None = DEBIAN) -> str:
        """The new text; the given one where the container is refused or left alone."""
        try:
            return patch(self.text, self.spec, applied(self.spec, self.adjustment(root)))
        except Problem:
            return self.text

    def explanation(self, root: Root | None = DEBIAN) -> str:
        try:
            adjustment = self.adjustment(root)
        except Problem as problem:
            return f"refused: {problem}\n"
        wanted = "wanted" if adjustment.verdict.wanted else "not wanted"
        lines = [f"{wanted}: {adjustment.verdict.reason}"]
        lines += [f"edit: {edit} -- {edit.reason}" for edit in adjustment.edits]
        lines += [f"kept: {kept.what} -- {kept.reason}" for kept in adjustment.kept]
        lines += [f"warning: {warning}" for warning in adjustment.warnings]
        return "\n".join(lines) + "\n"


def applied(spec: Json, adjustment: Adjustment) -> Json:
    return apply(spec, adjustment.edits) if isinstance(spec, dict) else spec


def cases() -> list[CorpusCase]:
    paths = sorted(path for path in CORPUS.glob("*/*.json") if not path.stem.endswith(".expected"))
    return [CorpusCase(path) for path in paths]


def write_expected() -> int:
    for case in cases():
        result = case.result()
        case.expected_text.unlink(missing_ok=True)
        if result != case.text:
            case.expected_text.write_bytes(result.encode())
        case.expected_explanation.write_text(case.explanation())
    return 0


if __name__ == "__main__":
    sys.exit(write_expected())
