"""Whole processes on the clock: sides that are compared take turns, so that the machine's drift meets them all alike."""

from __future__ import annotations

import gc
import os
import subprocess
import time
from contextlib import suppress
from dataclasses import dataclass, field
from statistics import median
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

WARM_UP = 3  # rounds that do not count: they fill the page cache
CLOSED = [(os.POSIX_SPAWN_OPEN, fd, os.devnull, os.O_RDWR, 0) for fd in range(3)]


def go_first() -> None:
    """Run the measured processes with the highest priority, if that is allowed: medians are steady then."""
    with suppress(PermissionError):
        os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(1))


class Timed(Protocol):
    """What can be put on the clock."""

    def once(self) -> int:
        """Return the nanoseconds of one go."""


@dataclass(frozen=True)
class Side:
    """Commands that are timed as one, each from spawn to exit; `prepare` comes before, off the clock."""

    commands: tuple[tuple[str, ...], ...]
    environ: dict[str, str] = field(default_factory=lambda: {"PATH": os.defpath})
    prepare: Callable[[], object] = lambda: None

    def once(self) -> int:
        """The nanoseconds of one go. A command that fails ends the bench: its time would mean nothing."""
        self.prepare()
        return sum(_timed(command, self.environ) for command in self.commands)


def _timed(command: tuple[str, ...], environ: dict[str, str]) -> int:
    started = time.perf_counter_ns()
    pid = os.posix_spawn(command[0], command, environ, file_actions=CLOSED)
    _, status, _ = os.wait4(pid, 0)
    elapsed = time.perf_counter_ns() - started
    if status:
        raise SystemExit(f"the bench stops: {' '.join(command)[:200]} ended with {os.waitstatus_to_exitcode(status)}")
    return elapsed


def take_turns(sides: Sequence[Timed], runs: int, warm_up: int = WARM_UP) -> list[list[int]]:
    """The times of each side over `runs` rounds; every second round goes backwards."""
    times: list[list[int]] = [[] for _ in sides]
    gc.disable()
    for turn in range(warm_up + runs):
        order = range(len(sides)) if turn % 2 else reversed(range(len(sides)))
        for index in order:
            times[index].append(sides[index].once())
    gc.enable()
    return [taken[warm_up:] for taken in times]


def ratio(times: Sequence[int], floor: Sequence[int]) -> float:
    """The median of the rounds' own ratios."""
    return median(one / other for one, other in zip(times, floor, strict=True))


def peak(side: Side, meter: Path | None, runs: int = 3) -> int | None:
    """The largest peak memory in KiB of a few goes; None without the `meter` program."""
    if meter is None:
        return None
    return max(_peak(command, side, meter) for _ in range(runs) for command in side.commands)


def _peak(command: tuple[str, ...], side: Side, meter: Path) -> int:
    side.prepare()
    said = subprocess.run([meter, *command], env=side.environ, check=True, capture_output=True, text=True)
    return int(said.stdout)
