"""Read a process from /proc, with its start time, since PIDs are used again; and end this one."""

from __future__ import annotations

import signal
from contextlib import contextmanager
from typing import TYPE_CHECKING

from oci_systemd.core.errors import Problem
from oci_systemd.host.files import read

if TYPE_CHECKING:
    from collections.abc import Iterator


def text(path: str) -> str:
    """Return the text of a file below /proc. Raise OSError if the process has ended."""
    return read(path).decode(errors="surrogateescape")


def start(pid: int) -> int | None:
    """Return the start time of the process, in clock ticks since boot (proc(5), stat, field 22); None if it does not exist."""
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
