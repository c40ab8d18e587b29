"""What `docker wait` and `podman wait` print when a machine in a container ends: rows of docs/exit-codes.md."""

import pytest

from tests.e2e.lab.ends import ENDS
from tests.machine.lab.cli import by_wrapper
from tests.machine.lab.ends import end_guest
from tests.machine.lab.life import booted
from tests.machine.lab.machine import Machine

pytestmark = pytest.mark.engine

# The end by a command, by a unit, by a crash, and by the engine; each under one of two engines, whose `wait` asks the same runtime.
TRIED = [
    ("docker", "`systemctl exit 3`"),
    ("podman", "`FailureAction=exit`, the unit ends with 7"),
    ("docker", "PID 1 crashes (SIGSEGV from outside)"),
    ("podman", "the engine stops it"),
]


@pytest.mark.parametrize(("engine", "end"), TRIED)
def test_wait_prints_the_exit_code_of_the_table(machine: Machine, engine: str, end: str) -> None:
    with by_wrapper(machine, engine).container("debian-13") as guest:
        assert booted(guest) == "running"
        assert end_guest(guest, ENDS[end]) == ENDS[end].code
