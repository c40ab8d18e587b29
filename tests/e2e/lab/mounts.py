"""The mounts of a process, from proc_pid_mountinfo(5)."""

import os
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Mount:
    place: str
    kind: str
    options: frozenset[str]
    device: str


def mounts(proc: Path) -> list[Mount]:
    return [mount(line) for line in (proc / "mountinfo").read_text().splitlines()]


def mount(line: str) -> Mount:
    left, _, right = line.partition(" - ")
    _, _, device, _, place, options, *_ = left.split()
    return Mount(place, right.split()[0], frozenset(options.split(",")), device)


def at(proc: Path, place: str) -> Mount | None:
    """The last mount at PLACE, if it is what a process sees there."""
    found = [each for each in mounts(proc) if each.place == place]
    seen = (proc / "root" / place.lstrip("/")).stat().st_dev
    return found[-1] if found and found[-1].device == f"{os.major(seen)}:{os.minor(seen)}" else None
