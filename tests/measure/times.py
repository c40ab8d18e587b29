"""README.md: how long systemd takes to boot and to stop. Prints the table, and draws it into docs/pictures/times.svg.

"by the wrapper": the engine's SIGTERM reaches the wrapper. "without it": the same SIGTERM reaches runc, and SIGKILL follows
after the grace period, as engines do it. Each figure is the median of a few lives of a container, on a node without an engine.
"""

import time
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from statistics import median

from tests.bench.svg import bar, legend, machine, page, text
from tests.e2e.lab.container import Container, until
from tests.e2e.lab.node import Node
from tests.measure.lab import SYSTEMD, image, node
from tests.measure.rows import head, row

PICTURE = Path(__file__).parents[2] / "docs/pictures/times.svg"
LIVES = 3
GRACE = 10
"""Seconds between SIGTERM and SIGKILL: the default of `docker stop` and `podman stop`; Kubernetes' is 30."""


@dataclass(frozen=True)
class Times:
    """Seconds."""

    boot: float
    stop: float
    stop_without: float


def table() -> Iterator[str]:
    yield from head("systemd", "boot", "stop by the wrapper", f"stop without it, grace period {GRACE} s")
    with node() as where:
        found = {version: _times(where, version) for version in SYSTEMD}
    for version, times in found.items():
        yield row(version, *(f"{seconds:.1f} s" for seconds in (times.boot, times.stop, times.stop_without)))
    PICTURE.write_text(picture(found, datetime.now(UTC).date().isoformat()))


def _times(where: Node, version: str) -> Times:
    wrapped = [_life(where, version, where.launcher) for _ in range(LIVES)]
    bare = [_life(where, version, "runc") for _ in range(LIVES)]
    return Times(
        median(boot for boot, _ in wrapped), median(stop for _, stop in wrapped), median(stop for _, stop in bare)
    )


def _life(where: Node, version: str, stopper: str) -> tuple[float, float]:
    """Return how long a container took to boot, and to stop where `stopper` is given the engine's signals."""
    with Container(where, image(version)) as container:
        begin = time.monotonic()
        container.create_and_start()
        state = container.system_state()
        booted = time.monotonic()
        if state != "running":
            raise RuntimeError(f"systemd {version} is {state or 'silent'}: {container.said}")
        _stop(where, container, stopper)
        return booted - begin, time.monotonic() - booted


def _stop(where: Node, container: Container, stopper: str) -> None:
    stat = container.proc / "stat"

    def ended() -> str:
        try:
            return str(stat.read_text().rpartition(") ")[2][0] in "ZX")
        except OSError:
            return "True"

    where.run(stopper, "kill", container.id, "TERM")
    if until(ended, "True".__eq__, GRACE, pause=0.005) != "True":
        where.run(stopper, "kill", container.id, "KILL")
        until(ended, "True".__eq__, GRACE, pause=0.005)


# The picture

LEFT, RIGHT, STEP, TOP = 150, 700, 22, 74
ROWS = (
    ("boot", "boot", "floor"),
    ("stop", "stop by the wrapper", "ours"),
    ("stop_without", "stop without it", "broken"),
)


def picture(found: dict[str, Times], date: str) -> str:
    longest = max(getattr(times, name) for times in found.values() for name, _, _ in ROWS)
    scale = (RIGHT - LEFT) / longest
    body, top = [text(16, 26, "How long systemd takes to boot and to stop", "head"), *legend(ROWS, 50)], TOP
    for version, times in found.items():
        body.append(text(16, top + 10, f"systemd {version}", "strong"))
        for name, _, kind in ROWS:
            seconds = getattr(times, name)
            body.append(bar(kind, LEFT, top, scale * seconds))
            body.append(text(LEFT + scale * seconds + 10, top + 10, f"{seconds:.1f} s", "name"))
            top += STEP
        top += 14
    note = (
        f"runc, medians of {LIVES}; an engine sends SIGKILL {GRACE} s after SIGTERM (Kubernetes: 30 s). {machine(date)}"
    )
    body.append(text(16, top + 10, note, "small"))
    return page("How long systemd takes to boot and to stop", top + 26, body)
