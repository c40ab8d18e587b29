"""A pod as a kubelet makes it, out of memory: one service ends, and the rest of its machine goes on."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.machine.lab.hogs import TIMES, Small, small
from tests.machine.lab.life import until
from tests.machine.lab.machine import Machine
from tests.machine.lab.pods import EXITED, Kubelet
from tests.machine.test_containerd import CASES

pytestmark = pytest.mark.engine

RUNNING = 1
SETTINGS = "/etc/oci-systemd/config.toml"


@pytest.fixture(scope="module", params=CASES)
def pod(request: pytest.FixtureRequest, kubelet: Kubelet) -> Iterator[Small]:
    image, handler = CASES[request.param]
    with small(kubelet, handler, image) as pod:
        yield pod


def test_a_service_that_takes_all_the_memory_ends_alone_each_time(pod: Small) -> None:
    first = pod.guest.pid()
    assert pod.group() == "0"
    assert pod.hogs() == ["oom-kill"] * TIMES
    assert (pod.guest.state(), pod.guest.pid()) == (RUNNING, first)


# By crun an exec keeps the shim's oom_score_adj (-998), so that the kernel takes PID 1 first: docs/oom.md.
@pytest.mark.parametrize("pod", [case for case in CASES if case.endswith("runc")], indirect=True)
def test_a_hog_by_exec_ends_alone(pod: Small) -> None:
    assert pod.by_exec() == 137
    assert pod.guest.state() == RUNNING


def test_a_hog_in_journalds_cgroup_has_journald_started_again(pod: Small) -> None:
    assert pod.beside("systemd-journald.service", "system.slice")[-1] == "active"
    assert pod.guest.state() == RUNNING


def test_with_the_engines_group_the_whole_pod_ends(machine: Machine, kubelet: Kubelet) -> None:
    machine.write(SETTINGS, "[cgroup]\noom_group = true\n")
    try:
        with small(kubelet, "systemd", "debian-13") as pod:
            assert pod.group() == "1"
            pod.hogs(1)
            assert until(lambda: str(pod.guest.state()), str(EXITED).__eq__, 30) == str(EXITED)
            assert kubelet.cri.status(pod.guest.id).reason == "OOMKilled"
    finally:
        machine.run("rm", SETTINGS)
