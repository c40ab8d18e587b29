"""Read a node's limits, and how much of them is in use, from its /proc.

Invariant: nothing is changed. Limits for each user are those of root: root in all containers without a user namespace is one user.
"""

from __future__ import annotations

import re
from contextlib import suppress
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

INSTANCES, WATCHES = "fs.inotify.max_user_instances", "fs.inotify.max_user_watches"
PIDS, FILES, KEYS = "kernel.pid_max", "fs.file-max", "kernel.keys.root_maxkeys"
INOTIFY = "anon_inode:inotify"  # proc(5), /proc/PID/fd
ROOT = 0


class Limit(NamedTuple):
    """A sysctl, its value, and how much of it is in use. `estimated`: estimated from the number of systemd containers."""

    name: str
    value: int
    used: int
    estimated: bool = False


class Taken(NamedTuple):
    """The inotify instances and watches of root's processes; `hidden`: the number of processes that cannot be read; `systemds`: the
    number of containers with systemd as PID 1."""

    instances: int
    watches: int
    hidden: int
    systemds: int


def limits(proc: Path, per_container: int, per_node: int) -> list[Limit]:
    """Return the limits that matter for systemd containers, as far as /proc has them. Without CAP_SYS_PTRACE some processes cannot
    be read; instances are then estimated from `per_container` and `per_node`."""
    taken = _taken(proc)
    instances = max(taken.instances, per_node + per_container * taken.systemds) if taken.hidden else taken.instances
    found = [
        _limit(proc, INSTANCES, instances, estimated=bool(taken.hidden)),
        None if taken.hidden else _limit(proc, WATCHES, taken.watches),
        _limit(proc, PIDS, _number(_text(proc / "loadavg").partition("/")[2])),
        _limit(proc, FILES, _number(_text(proc / "sys/fs/file-nr"))),
        _limit(proc, KEYS, _keys(proc)),
    ]
    return [each for each in found if each]


def place(proc: Path, name: str) -> Path:
    """Return the path of a sysctl in /proc."""
    return proc / "sys" / name.replace(".", "/")


def _limit(proc: Path, name: str, used: int, *, estimated: bool = False) -> Limit | None:
    value = _number(_text(place(proc, name)))
    return Limit(name, value, used, estimated) if value else None


def _taken(proc: Path) -> Taken:
    instances = watches = hidden = systemds = 0
    for process in proc.glob("[0-9]*"):
        status = _text(process / "status")
        systemds += bool(re.search(r"\AName:\tsystemd\n", status) and re.search(r"(?m)^NSpid:(\t\d+)+\t1$", status))
        if not re.search(rf"(?m)^Uid:\t\d+\t{ROOT}\t", status):
            continue
        try:
            own = [*_inotify(process)]
        except PermissionError:
            hidden += 1
        else:
            instances, watches = instances + len(own), watches + sum(own)
    return Taken(instances, watches, hidden, systemds)


def _inotify(process: Path) -> Iterator[int]:
    """Yield the number of watches of each instance of a process. Raise PermissionError if the process cannot be read."""
    with suppress(FileNotFoundError, ProcessLookupError):
        for each in (process / "fd").iterdir():
            with suppress(FileNotFoundError):
                if str(each.readlink()) == INOTIFY:
                    yield _text(process / "fdinfo" / each.name).count("inotify wd:")


def _keys(proc: Path) -> int:
    """Return root's keys that count (keyrings(7), /proc/key-users: `0: 112 112/112 10/1000000 200/25000000`)."""
    line = next((line for line in _text(proc / "key-users").splitlines() if line.strip().startswith(f"{ROOT}:")), "")
    return _number(line.split()[3]) if len(line.split()) > 3 else 0


def _number(text: str) -> int:
    """Return the number at the start of a text; 0 if there is none."""
    found = re.match(r"\s*(\d+)", text)
    return int(found[1]) if found else 0


def _text(path: Path) -> str:
    with suppress(OSError):
        return path.read_text(errors="replace")
    return ""
