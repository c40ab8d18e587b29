"""Read a process from /proc, with its start time, since PIDs are used again."""

from __future__ import annotations

from oci_systemd.host.files import read


def text(path: str) -> str:
    """Return the text of a file below /proc. Raise OSError if the process has ended."""
    return read(path).decode(errors="surrogateescape")


def start(pid: int) -> int | None:
    """Return the start time of the process, in clock ticks since boot (proc(5), stat, field 22); None if it does not exist."""
    try:
        return int(text(f"/proc/{pid}/stat").rpartition(")")[2].split()[19])
    except (OSError, ValueError, IndexError):
        return None
