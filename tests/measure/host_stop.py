"""docs/stop.md: what a stop of the scope, and a reboot of the machine, do to what runs in a container of each engine.

With the stop signal in the scope's KillSignal, and without (annotation `stop-signal: none`). Needs root and QEMU; half an hour.
"""

from __future__ import annotations

import time
from collections.abc import Iterator

from tests.machine.lab import engines, marks
from tests.machine.lab.life import booted
from tests.machine.lab.machine import Machine
from tests.machine.lab.pods import Kubelet
from tests.machine.lab.shutdown import CASES, Engines, reboot
from tests.measure.rows import head, row

NAMES = ("container", "KillSignal", "stop", "seconds", "ExecStop complete", "like nginx", "like sshd")
STOPS = {"": "37", "none": "15"}
GO_DOWN = tuple(CASES)


def table() -> Iterator[str]:
    yield from head(*NAMES)
    for stop, signal in STOPS.items():
        with Machine() as machine:
            engines.set_up(machine)
            both = Engines(machine, Kubelet(machine), stop)
            for case in CASES:
                yield row(case, signal, "systemctl stop", *map(str, by_systemctl(both, case)))
            found = reboot(both, GO_DOWN)
            for case in GO_DOWN:
                words = [found.said.get((case, name), "") for name in ("server", "sessions")]
                whole = found.complete(case)
                seconds = f"{found.seconds_of(case) if whole else found.seconds:.0f}"
                yield row(case, signal, "reboot", seconds, str(whole), *words)


def by_systemctl(both: Engines, case: str) -> list[object]:
    """Seconds, whether ExecStop came to its end, and what the other services said."""
    both.machine.script(marks.prepare(case))
    with CASES[case](both, case) as guest:
        assert booted(guest) == "running"
        marks.begin(guest)
        begin = time.monotonic()
        both.machine.run("systemctl", "stop", marks.scope(guest))
        seconds, found = time.monotonic() - begin, marks.read(guest, case)
        return [f"{seconds:.0f}", found.complete, found.server, found.sessions]
