"""systemd boots, works and stops under runc 1.1 and 1.3, however an engine starts it; one life for each combination."""

from collections.abc import Iterator

import pytest

from tests.e2e.lab.container import PROMPT, Container
from tests.e2e.lab.life import Life, live
from tests.e2e.lab.node import Node
from tests.e2e.lab.rootfs import RootFS

pytestmark = pytest.mark.engine

WAYS = {
    "create-start": (Container.create_and_start, False),
    "create-start-terminal": (Container.create_and_start, True),
    "run": (Container.run, False),
    "run-terminal": (Container.run, True),
}
TMPFS_MODES = {"/run": 0o755, "/run/lock": 0o1777, "/tmp": 0o1777, "/var/log/journal": 0o755}


@pytest.fixture(scope="module", params=WAYS)
def life(request: pytest.FixtureRequest, node: Node, image: RootFS) -> Iterator[Life]:
    start, terminal = WAYS[request.param]
    with Container(node, image, terminal=terminal) as container:
        container.add_units()
        start(container)
        yield live(container)


def test_the_system_is_running(life: Life) -> None:
    assert life.state == "running", life.said


def test_no_unit_has_failed(life: Life) -> None:
    assert life.state in ("running", "degraded") and life.failed == ""


def test_machine_id_is_container_uuid_is_the_first_half_of_the_id(life: Life) -> None:
    assert life.machine_id == life.id[:32]
    assert f"container_uuid={life.machine_id}" in life.environment


def test_systemd_knows_that_it_is_in_a_container(life: Life) -> None:
    assert [each for each in life.environment if each.startswith("container=")] == ["container=other"]


def test_the_cgroup_tree_is_writable(life: Life) -> None:
    mount = life.mounts["/sys/fs/cgroup"]
    assert mount and mount.kind == "cgroup2" and "rw" in mount.options


@pytest.mark.parametrize("place", TMPFS_MODES)
def test_tmpfs_is_visible_with_its_options(life: Life, place: str) -> None:
    mount = life.mounts[place]
    assert mount and mount.kind == "tmpfs"
    assert mount.options >= {"rw", "nosuid", "nodev"} and "noexec" not in mount.options


@pytest.mark.parametrize(("place", "mode"), TMPFS_MODES.items())
def test_tmpfs_has_its_mode(life: Life, place: str, mode: int) -> None:
    assert oct(life.modes[place]) == oct(mode)


def test_a_timer_fires(life: Life) -> None:
    assert life.ticked


def test_a_socket_starts_its_service_on_connect(life: Life) -> None:
    assert life.greeting == b"hello\n"


def test_a_killed_service_comes_back(life: Life) -> None:
    assert life.phoenix == "ActiveState=active NRestarts=1"


def test_kill_term_stops_it(life: Life) -> None:
    assert 0 < life.time_to_stop < PROMPT, life.said


def test_kill_term_stops_services_in_order(life: Life) -> None:
    assert life.stopped == ["second", "first"]
