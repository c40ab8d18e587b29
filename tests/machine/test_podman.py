"""podman by root and by a user with a login: systemd boots through the wrapper, and by the hook under a real runtime; also
from an image that has a volume in the place of the cgroup mount."""

from collections.abc import Sequence
from concurrent.futures import Future
from typing import NamedTuple

import pytest

from tests.machine.lab.cli import Cli
from tests.machine.lab.engines import HOOKS, RUNTIMES, USER, WRAPPERS
from tests.machine.lab.life import Life, assert_whole, live
from tests.machine.lab.machine import Machine
from tests.machine.lab.together import together

pytestmark = pytest.mark.engine


class Way(NamedTuple):
    user: str
    options: Sequence[str]
    run: Sequence[str]
    image: str = "debian-13"


VOLUME = "volume"  # an image that says VOLUME /sys/fs/cgroup
OFF = ["--network=none", "--systemd=false"]  # without podman's own mode, which would hide our changes
STOP = "--stop-signal=SIGRTMIN+3"  # a hook sees no stop
# Root with and without a volume is alike but for the volume; plain ones boot in test_start.py and test_host_stop.py.
WAYS = {
    "wrapper-crun-rootful-in-podmans-own-mode": Way("root", ["--runtime", WRAPPERS["crun"]], []),
    "wrapper-runc-rootless": Way(USER, ["--runtime", WRAPPERS["runc"]], OFF),
    "wrapper-crun-rootless": Way(USER, ["--runtime", WRAPPERS["crun"]], OFF),
    "hook-runc-rootless": Way(USER, ["--runtime", RUNTIMES["runc"], "--hooks-dir", HOOKS], [*OFF, STOP]),
    "wrapper-runc-volume": Way("root", ["--runtime", WRAPPERS["runc"]], OFF, VOLUME),
    "hook-crun-volume": Way("root", ["--runtime", RUNTIMES["crun"], "--hooks-dir", HOOKS], [*OFF, STOP], VOLUME),
}


@pytest.fixture(scope="module")
def lives(machine: Machine) -> dict[str, Future[Life]]:
    def lived(way: Way) -> Life:
        with Cli(machine, "podman", way.options, way.run, way.user).container(way.image) as guest:
            return live(guest)

    Cli(machine, "podman").commit("debian-13", VOLUME, "VOLUME /sys/fs/cgroup")
    return together(lived, WAYS)


@pytest.mark.parametrize("way", WAYS)
def test_systemd_boots_and_stops(lives: dict[str, Future[Life]], way: str) -> None:
    assert_whole(lives[way].result())
