"""The whole corpus through the core, in a process where opening, connecting and starting anything is refused.

Run by test_no_io, with the corpus as its argument: an audit hook cannot be taken away again.
"""

from __future__ import annotations

import _sha1  # type: ignore[import-not-found]  # noqa: F401  # what the core loads when it is needed
import json.decoder  # noqa: F401  # the same
import sys
from pathlib import Path

from oci_systemd.core import (
    adjust,
    apply,
    argv,
    container,
    edits,
    errors,
    host,
    json_text,
    settings,
    signals,
)
from oci_systemd.core.annotations import KEYS

REFUSED = (
    "open",
    "os.",
    "socket.",
    "subprocess.",
    "pty.",
    "shutil.",
    "tempfile.",
    "import",
    "exec",
    "ctypes.",
    "fcntl.",
    "mmap.",
)
ROOT = host.Root(
    {"/var/run": "/run", "/var/lock": "/run/lock", "/sbin/init": "../lib/systemd/systemd"},
    {"/etc/machine-id": host.BLANK},
)
HOSTS = [host.Host(), host.Host(root=ROOT), host.Host(cgroup_v2=False), host.Host(nsdelegate=False, apparmor=False)]
POD = settings.Settings({"machine_id.source": "pod", "security.allow": sorted(KEYS)})


def refuse(event: str, _: object) -> None:
    if event.startswith(REFUSED):
        raise RuntimeError(f"the core did what it must not: {event}")


def decide(data: bytes, facts: host.Host, values: settings.Settings) -> list[edits.Edit]:
    try:
        text, spec = json_text.parse(data)
        described = container.from_spec(spec, "0123456789abcdef" * 4)
        adjust.questions(described, values)
        found = adjust.adjust(described, values, facts).edits
    except errors.Problem:
        return []
    assert isinstance(spec, dict)
    json_text.patch(text, spec, apply.apply(spec, found))
    return found


def main() -> None:
    files = [path.read_bytes() for path in sorted(Path(sys.argv[1]).glob("*/*.json"))]
    files += [b"", b"{", b'{"a": 1, "a": 2}', b"\xff", b"[" * 100_000, files[0][:1000]]
    sys.addaudithook(refuse)
    edited = sum(
        bool(decide(data, facts, values)) for data in files for facts in HOSTS for values in (settings.Settings(), POD)
    )
    argv.parse(["--root", "/r", "kill", "ID", "TERM"])
    signals.Status("Name:\tsystemd\nSigBlk:\t7fe3c0fe28014a03\n").awaits(37, "runc")
    sys.stdout.write(f"{len(files)} files, {edited} times edited\n")


if __name__ == "__main__":
    main()
