"""docs/stop.md: ten systemd pods deleted at once, beside ten ordinary ones whose program ends by SIGTERM. Needs root; a minute."""

import statistics
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

from tests.e2e.lab.containerd import Containerd
from tests.e2e.lab.pods import INIT, Case, Guest, begin
from tests.e2e.lab.rootfs import IMAGES, NODES, prepare
from tests.measure.lab import containerd
from tests.measure.rows import head, row

PODS = 10
GRACE = 30  # seconds, as a pod's terminationGracePeriodSeconds
# sh ends at once by SIGTERM, as a program that handles it does.
ORDINARY = replace(INIT, command=["/bin/sh", "-c", "trap 'exit 0' TERM; while :; do sleep 1000 & wait; done"])
KINDS = {
    "systemd": Case(INIT),
    "ordinary, through the wrapper": Case(ORDINARY),
    "ordinary, plain runc": Case(ORDINARY, {"handler": "runc"}),
}


def table() -> Iterator[str]:
    prepare([IMAGES["debian-13"], NODES["runc-1.3"]])
    yield from head("ten pods", "seconds of one stop, median", "of the slowest", "killed")
    with containerd() as engine:
        for kind, case in KINDS.items():
            yield row(kind, *stopped(engine, case))


def stopped(engine: Containerd, case: Case) -> tuple[str, str, str]:
    """Median and longest stop in seconds, and how many had to be killed."""
    with ThreadPoolExecutor(PODS) as pool:
        guests = [*pool.map(lambda number: begin(engine, f"ten-{number}", case), range(PODS))]
        for guest in guests:
            if case.container is INIT:
                guest.system_state(120)
        seconds = [*pool.map(stop, guests)]
        killed = sum(guest.status.exit_code == 137 for guest in guests)
        for _ in pool.map(lambda guest: guest.where.close(), guests):
            pass
    return f"{statistics.median(seconds):.2f}", f"{max(seconds):.2f}", f"{killed} of {PODS}"


def stop(guest: Guest) -> float:
    return guest.where.engine.cri.stop(guest.id, GRACE)
