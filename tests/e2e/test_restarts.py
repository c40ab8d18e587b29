"""Restarts that change nothing: of a container in its pod, and of the engine under running pods."""

import uuid
from dataclasses import replace

import pytest

from tests.e2e.lab.container import PROMPT
from tests.e2e.lab.containerd import Containerd
from tests.e2e.lab.pods import INIT, Case, Guest, LivePod, begin, sandbox

pytestmark = pytest.mark.engine

MACHINE_ID = "io.systemd.container.machine-id"


def machine_ids(pod: LivePod) -> list[str]:
    """Of a container, and of the one that the kubelet starts after its end."""
    found = []
    for attempt in range(2):
        guest = pod.run(replace(INIT, attempt=attempt))
        assert guest.system_state() == "running", guest.log
        found.append(guest.output("cat", "/etc/machine-id"))
        guest.stop()
        pod.engine.cri.remove(guest.id)
    return found


def test_a_container_that_starts_again_has_the_machine_id_of_its_pod(engine: Containerd) -> None:
    with sandbox(engine, "keeps", Case(pod={"annotations": {MACHINE_ID: "pod"}})) as pod:
        assert machine_ids(pod) == [uuid.uuid5(uuid.UUID(pod.pod.uid), "main").hex] * 2


def test_a_container_that_starts_again_has_another_machine_id_where_nobody_asks(engine: Containerd) -> None:
    with sandbox(engine, "changes", Case()) as pod:
        assert len(set(machine_ids(pod))) == 2


def boot(engine: Containerd, title: str) -> Guest:
    guest = begin(engine, title, Case())
    assert guest.system_state() == "running", guest.log
    return guest


def test_pods_outlive_their_engine_and_are_its_own_again(engine: Containerd) -> None:
    guests = [boot(engine, title) for title in ("stopped", "deleted")]
    engine.stop()
    engine.start()
    assert [guest.output("systemctl", "is-system-running") for guest in guests] == ["running"] * 2
    stopped, deleted = guests
    assert stopped.stop() < PROMPT, stopped.log
    assert stopped.status.exit_code == 0
    for guest in (stopped, deleted):
        guest.where.close()
