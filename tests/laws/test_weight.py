"""What a call of the wrapper imports, beyond the bare interpreter: `weight/CALL.txt` is all that it may.

A module more is a cost at each container's start. Whoever adds one adds it to the list, and argues for it.
"""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from tests.shells.conftest import spec
from tests.shells.wrapper import PYTHON, Wrapper, library

LISTS = Path(__file__).parent / "weight"
ENTRY = f"""import sys; sys.path.insert(0, {library()!r})
from oci_systemd.runtime import main; main(*sys.argv[1:3], sys.argv[3:], '')"""
CALLS = {
    "create-wanted": ("/sbin/init", "", "create"),
    "create-wanted-with-settings": ("/sbin/init", "[tmpfs]\n", "create"),
    "create-wanted-with-dotted-settings": ("/sbin/init", "tmpfs.copy_up = false\n", "create"),
    "create-unwanted": ("sleep", "", "create"),
    "kill": ("sleep", "", "kill"),
}


def imported(*command: str | Path, settings: Path) -> set[str]:
    """The modules that Python names under -X importtime."""
    environ = {"OCI_SYSTEMD_CONFIG": str(settings)}
    said = subprocess.run(
        [PYTHON, "-X", "importtime", *command], env=environ, check=False, capture_output=True, text=True
    )
    rows = (line.split("|") for line in said.stderr.splitlines() if line.startswith("import time:"))
    return {row[2].strip() for row in rows if len(row) == 3} - {"imported package"}


@pytest.mark.parametrize(("program", "settings", "command"), CALLS.values(), ids=CALLS)
def test_call_imports_nothing_that_is_not_listed(
    wrapper: Wrapper, program: str, settings: str, command: str, request: pytest.FixtureRequest
) -> None:
    allowed = set((LISTS / f"{request.node.callspec.id}.txt").read_text().split())
    bundle = wrapper.bundle(spec(program))
    words = ["kill", "ID"] if command == "kill" else ["create", "--bundle", str(bundle), "ID"]
    wrapper.configure(settings)
    path = wrapper.settings if settings else Path("/etc/oci-systemd/config.toml")
    bare = imported("-ISB", "-c", "pass", settings=path)
    weighed = imported("-ISB", "-c", ENTRY, wrapper.runtime, wrapper.path, *words, settings=path) - bare
    assert weighed - allowed == set()
    ours = {name for name in allowed if name.startswith("oci_systemd")}
    assert ours - weighed == set()


def test_no_list_is_left_without_its_call() -> None:
    assert {path.stem for path in LISTS.glob("*.txt")} == set(CALLS)
