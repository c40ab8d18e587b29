"""Stopping a container at the moments and with the arguments that engines use."""

import pytest

from tests.e2e.lab.container import PROMPT, Container
from tests.e2e.lab.node import Node
from tests.e2e.lab.rootfs import RootFS
from tests.e2e.lab.silence import silence

pytestmark = pytest.mark.engine

STARTS = {"create-start": Container.create_and_start, "run": Container.run}
TERMS = {"15": ("15",), "SIGTERM": ("SIGTERM",), "no signal": ()}


@pytest.mark.parametrize("start", STARTS)
def test_kill_term_right_after_start_stops_it(node: Node, image: RootFS, start: str) -> None:
    with silence(), Container(node, image) as container:
        STARTS[start](container)
        assert container.time_to_stop("TERM") < PROMPT, container.said


@pytest.mark.parametrize("words", TERMS.values(), ids=TERMS)
def test_every_name_of_term_stops_systemd(node: Node, image: RootFS, words: tuple[str, ...]) -> None:
    with silence(), Container(node, image) as container:
        container.create_and_start()
        assert container.system_state() == "running", container.said
        assert container.time_to_stop(*words) < PROMPT, container.said


def test_kill_kill_ends_it_at_once(node: Node, image: RootFS) -> None:
    with silence(), Container(node, image) as container:
        container.create_and_start()
        assert container.time_to_stop("KILL") < PROMPT


def test_kill_term_ends_a_container_that_is_not_started(node: Node, image: RootFS) -> None:
    with silence(), Container(node, image) as container:
        container.create()
        assert container.time_to_stop("TERM") < PROMPT
