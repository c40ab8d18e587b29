"""Pods in containerd with the systemd cgroup driver: systemd boots, has its container's id, and stops at the kubelet's signal."""

from concurrent.futures import Future

import pytest

from tests.machine.lab.engines import WRAPPERS
from tests.machine.lab.life import Life, assert_went, live
from tests.machine.lab.pods import Kubelet
from tests.machine.lab.together import together

pytestmark = pytest.mark.engine

# Three versions of systemd, two runtimes; every pair of them would only take time.
CASES = {
    f"{image}-{runtime}": (image, WRAPPERS[runtime])
    for image, runtime in [("debian-12", "runc"), ("debian-13", "crun"), ("forky", "runc")]
}


@pytest.fixture(scope="module")
def lives(kubelet: Kubelet) -> dict[str, Future[Life]]:
    def lived(case: tuple[str, str]) -> Life:
        image, handler = case
        with kubelet.pod(handler, image) as guest:
            return live(guest)

    return together(lived, CASES)


@pytest.fixture(params=CASES)
def life(request: pytest.FixtureRequest, lives: dict[str, Future[Life]]) -> Life:
    return lives[request.param].result()


def test_the_system_is_running(life: Life) -> None:
    assert (life.state, life.failed) == ("running", "")


def test_machine_id_is_container_uuid(life: Life) -> None:
    assert life.machine_id == life.id[:32]
    assert f"container_uuid={life.machine_id}" in life.environment


def test_it_stops_by_itself_within_the_grace(life: Life) -> None:
    assert_went(life)
