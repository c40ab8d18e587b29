"""The machine's own systemd stops a container's scope, as `systemctl stop` and a shutdown do: its services stop in order."""

from __future__ import annotations

import time

import pytest

from tests.machine.lab import marks
from tests.machine.lab.life import booted
from tests.machine.lab.machine import Machine
from tests.machine.lab.pods import Kubelet
from tests.machine.lab.shutdown import CASES, Engines, reboot

pytestmark = pytest.mark.engine

HARD = 80  # seconds: less than the 90 after which systemd kills, and much for an emulated processor
# Each engine, each runtime and each way in goes down with the machine, and the others are stopped by hand.
# `python -m tests.measure host_stop` does both to all.
GO_DOWN = ("containerd-runc", "docker-crun", "podman-runc", "podman-hook")
STOPPED = [case for case in CASES if case not in GO_DOWN]


@pytest.mark.parametrize("case", STOPPED)
def test_the_scopes_stop_is_systemds_own(machine: Machine, kubelet: Kubelet, case: str) -> None:
    machine.script(marks.prepare(case))
    with CASES[case](Engines(machine, kubelet), case) as guest:
        assert booted(guest) == "running"
        marks.begin(guest)
        scope = marks.scope(guest)
        assert machine.output("systemctl", "show", "-P", "KillSignal", scope) == "37"
        begin = time.monotonic()
        machine.run("systemctl", "stop", scope)
        assert time.monotonic() - begin < HARD
        assert marks.read(guest, case).complete


def test_a_reboot_lets_each_execstop_come_to_its_end(machine: Machine, kubelet: Kubelet) -> None:
    """It ends the machine: tests/workers.py has it last."""
    found = reboot(Engines(machine, kubelet), GO_DOWN)
    assert [case for case in GO_DOWN if not found.complete(case)] == [], found
    assert max(found.seconds_of(case) for case in GO_DOWN) < HARD
