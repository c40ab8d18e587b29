"""Inside a booted pod: systemd's own limits hold, and nobody in it lifts or outgrows those that the pod was given."""

from collections.abc import Iterator

import pytest

from tests.machine.lab.engines import WRAPPERS
from tests.machine.lab.life import booted
from tests.machine.lab.pods import Kubelet, PodGuest, Rights

pytestmark = pytest.mark.engine

MEMORY, DESCENDANTS = 512 << 20, 1000
CGROUP = "/sys/fs/cgroup"
UNITS = f"{CGROUP}/system.slice"


@pytest.fixture(scope="module", params=WRAPPERS)
def guest(request: pytest.FixtureRequest, kubelet: Kubelet) -> Iterator[PodGuest]:
    handler = WRAPPERS[request.param]
    with kubelet.pod(handler, "debian-13", rights=Rights(memory=MEMORY)) as guest:
        assert booted(guest) == "running"
        yield guest


def unit(guest: PodGuest, name: str, *properties: str, command: str) -> None:
    """Have systemd run COMMAND as a unit with PROPERTIES, and keep what became of it."""
    options = ["--quiet", f"--unit={name}", "--remain-after-exit", *(f"--property={each}" for each in properties)]
    done = guest.run("systemd-run", *options, "sh", "-c", command)
    assert done.returncode == 0, done.stderr


def result(guest: PodGuest, name: str) -> str:
    """How the unit's command ended: asked until it has."""
    waited = (
        f'for n in $(seq 300); do [ -n "$(systemctl show -P ExecMainExitTimestamp {name})" ] && break; sleep 0.1; done'
    )
    return guest.ask("sh", "-c", f"{waited}; systemctl show -P Result {name}")


def test_a_units_limits_are_in_its_cgroup(guest: PodGuest) -> None:
    unit(guest, "modest", "MemoryMax=32M", "TasksMax=20", command="exec sleep 1000")
    files = [f"{UNITS}/modest.service/{name}" for name in ("memory.max", "pids.max")]
    assert guest.ask("cat", *files).split() == [str(32 << 20), "20"]


def test_a_unit_that_takes_more_memory_is_killed(guest: PodGuest) -> None:
    unit(guest, "hog", "MemoryMax=16M", command="head -c 64M /dev/zero | tail")
    assert result(guest, "hog") == "oom-kill"


def test_a_unit_that_starts_more_tasks_cannot_fork(guest: PodGuest) -> None:
    unit(guest, "hydra", "TasksMax=5", command="for n in 1 2 3 4 5 6; do sleep 1000 & done")
    assert result(guest, "hydra") == "exit-code"


@pytest.mark.parametrize(
    ("file", "value"), {"memory.max": str(MEMORY), "cgroup.max.descendants": str(DESCENDANTS)}.items()
)
def test_root_cannot_lift_the_pods_own_limit(guest: PodGuest, file: str, value: str) -> None:
    done = guest.run("sh", "-c", f"echo max >{CGROUP}/{file}")
    assert (done.returncode != 0, guest.ask("cat", f"{CGROUP}/{file}")) == (True, value)


def test_cgroups_stop_at_the_cap(guest: PodGuest) -> None:
    try:
        done = guest.run("sh", "-c", f"mkdir {CGROUP}/many && seq -f {CGROUP}/many/%.0f 2000 | xargs mkdir")
        assert "Resource temporarily unavailable" in done.stderr
        assert guest.ask("head", "-n1", f"{CGROUP}/cgroup.stat") == f"nr_descendants {DESCENDANTS}"
    finally:
        guest.run("find", f"{CGROUP}/many", "-depth", "-type", "d", "-delete")
