"""What /proc tells of a process: enough to know it again, since a PID comes back; and how this one is ended."""

from __future__ import annotations

import signal
from contextlib import contextmanager
from typing import TYPE_CHECKING

from oci_systemd.core.errors import Problem
from oci_systemd.host.files import read

if TYPE_CHECKING:
    from collections.abc import Iterator


def text(path: str) -> str:
    """A file below /proc; an OSError where the process is gone."""
    return read(path).decode(errors="surrogateescape")


def start(pid: int) -> int | None:
    """When the process began, in clock ticks since boot (proc(5), stat, field 22); None where there is none."""
    try:
        return int(text(f"/proc/{pid}/stat").rpartition(")")[2].split()[19])
    except (OSError, ValueError, IndexError):
        return None


@contextmanager
def interruptible(sentence: str) -> Iterator[None]:
    """Have SIGTERM raise a Problem of that sentence: a container's first process ignores it otherwise (pid_namespaces(7))."""

    def end(*_: object) -> None:
        raise Problem(sentence)

    before = signal.signal(signal.SIGTERM, end)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)
