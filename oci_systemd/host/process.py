"""What /proc tells of a process: enough to know it again, since a PID comes back."""

from __future__ import annotations

from oci_systemd.host.files import read


def text(path: str) -> str:
    """A file below /proc; an OSError where the process is gone."""
    return read(path).decode(errors="surrogateescape")


def start(pid: int) -> int | None:
    """When the process began, in clock ticks since boot (proc(5), stat, field 22); None where there is none."""
    try:
        return int(text(f"/proc/{pid}/stat").rpartition(")")[2].split()[19])
    except (OSError, ValueError, IndexError):
        return None
