"""The NRI plugin as a service of a node with systemd: containers boot by the plain handler, and it keeps to its few rights."""

import re
from collections.abc import Iterator

import pytest

from tests.machine.lab.life import booted, said, until
from tests.machine.lab.machine import Machine
from tests.machine.lab.pods import Kubelet

pytestmark = pytest.mark.engine

UNIT = "oci-systemd-nri"
TO_CONNECT = 60


@pytest.fixture
def plugin(machine: Machine) -> Iterator[Machine]:
    machine.run("systemctl", "enable", "--now", UNIT)
    state = until(lambda: check(machine), lambda state: state.startswith("connected"), TO_CONNECT)
    assert state.startswith("connected to containerd"), state + machine.output("systemctl", "status", UNIT)
    yield machine
    machine.run("systemctl", "disable", "--now", UNIT)
    assert machine.output("systemctl", "show", "-P", "Result", UNIT) == "success"


def check(machine: Machine) -> str:
    return machine.run("oci-systemd", "nri", "--check", check=False).stdout


def test_systemd_boots_by_the_plain_handler(plugin: Machine, kubelet: Kubelet) -> None:
    with kubelet.pod("runc", "debian-13") as guest:
        assert booted(guest) == "running"
        failed, machine_id, environment = said(guest)
        assert (failed, machine_id) == ("", guest.id[:32])
        assert f"container_uuid={machine_id}" in environment
        assert guest.ask("cat", "/sys/fs/cgroup/cgroup.max.descendants") == "1000"
    log = plugin.output("journalctl", "--identifier=oci-systemd", "--output=cat", "--lines=50")
    assert guest.id in log


def test_its_service_may_do_little(machine: Machine) -> None:
    """What `systemd-analyze security` calls OK or better."""
    told = machine.output("systemd-analyze", "security", "--no-pager", UNIT)
    exposure = re.search(rf"Overall exposure level for {UNIT}\.service: ([0-9.]+)", told)
    assert exposure, told
    assert float(exposure[1]) < 2
