"""Docker as Debian configures it: systemd boots where its runtime is named, and where the wrapper is the default."""

import pytest

from tests.machine.lab.cli import Cli
from tests.machine.lab.engines import WRAPPERS, make_default, make_no_default
from tests.machine.lab.life import Life, assert_whole, live
from tests.machine.lab.machine import Machine

pytestmark = pytest.mark.engine


def life(cli: Cli) -> Life:
    with cli.container("debian-13") as guest:
        return live(guest)


def test_the_runtime_is_named(machine: Machine) -> None:
    assert_whole(life(Cli(machine, "docker", run=["--runtime", WRAPPERS["runc"]])))


def test_the_runtime_is_the_default(machine: Machine) -> None:
    make_default(machine, "crun")
    try:
        assert_whole(life(Cli(machine, "docker")))
    finally:
        make_no_default(machine, "crun")
