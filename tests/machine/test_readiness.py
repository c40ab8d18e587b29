"""docs/readiness.md: neither a probe that connects nor an exec through the handler takes a unit's limits; another process in the
container's cgroup does, while it boots.

`python -m tests.measure readiness` boots more often.
"""

import pytest

from tests.e2e.lab.rootfs import IMAGES
from tests.machine.lab.limits import boots
from tests.machine.lab.machine import Machine

pytestmark = [pytest.mark.engine, pytest.mark.parametrize("image", IMAGES)]


def test_a_probe_that_connects_leaves_every_unit_its_limits(machine: Machine, image: str) -> None:
    assert boots(machine, image, "tcp", 3) == [""] * 3


def test_an_exec_through_the_handler_leaves_every_unit_its_limits(machine: Machine, image: str) -> None:
    assert boots(machine, image, "handler", 3) == [""] * 3


def test_a_process_in_the_container_s_cgroup_takes_them(machine: Machine, image: str) -> None:
    assert boots(machine, image, "shell", 1) == ["first second"]
