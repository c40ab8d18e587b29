"""Docker as Debian configures it: systemd boots where its runtime is named, and where the wrapper is the default; also from an
image that has a volume in the place of the cgroup mount."""

import pytest

from tests.machine.lab.cli import Cli
from tests.machine.lab.engines import WRAPPERS, make_default, make_no_default
from tests.machine.lab.life import Life, assert_whole, live
from tests.machine.lab.machine import Machine

pytestmark = pytest.mark.engine


def life(cli: Cli, image: str = "debian-13") -> Life:
    with cli.container(image) as guest:
        return live(guest)


def test_the_runtime_is_named(machine: Machine) -> None:
    assert_whole(life(Cli(machine, "docker", run=["--runtime", WRAPPERS["runc"]])))


def test_the_runtime_is_the_default(machine: Machine) -> None:
    make_default(machine, "crun")
    try:
        assert_whole(life(Cli(machine, "docker")))
    finally:
        make_no_default(machine, "crun")


def test_an_image_with_a_volume_at_the_cgroup_mount(machine: Machine) -> None:
    Cli(machine, "docker").commit("debian-13", "volume", "VOLUME /sys/fs/cgroup")
    assert_whole(life(Cli(machine, "docker", run=["--runtime", WRAPPERS["runc"]]), "volume"))
