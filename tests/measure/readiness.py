"""docs/readiness.md: in how many boots units keep their limits, by the probe that asks meanwhile. Needs root and QEMU; an hour.

OCI_SYSTEMD_BOOTS sets the number of boots with a TCP probe and through the handler, 200 each; the others are boots enough with a
twentieth of them.
"""

from __future__ import annotations

import os
from collections.abc import Iterator

from tests.machine.lab import engines
from tests.machine.lab.limits import boots
from tests.machine.lab.machine import Machine
from tests.measure.lab import SYSTEMD
from tests.measure.rows import head, row

TIMES = int(os.environ.get("OCI_SYSTEMD_BOOTS", "200"))
FEWER = max(1, TIMES // 20)
MANY = TIMES // len(SYSTEMD) + 1
PROBES = {"none": FEWER, "tcp": MANY, "exec": FEWER, "handler": MANY, "shell": FEWER}
AT_ONCE = 5  # boots, by one call


def table() -> Iterator[str]:
    yield from head("while it boots", *(f"systemd {version}" for version in SYSTEMD))
    with Machine() as machine:
        engines.set_up(machine)
        for probe, times in PROBES.items():
            yield row(probe, *(kept(machine, image, probe, times) for image in SYSTEMD.values()))


def kept(machine: Machine, image: str, probe: str, times: int) -> str:
    """In how many boots every unit has its limits."""
    found: list[str] = []
    while len(found) < times:
        found += boots(machine, image, probe, min(AT_ONCE, times - len(found)))
    return f"{found.count('')} of {times}"
