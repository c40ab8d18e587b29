"""Nodes, images and wrappers for the end-to-end tests: made once for a session, nothing of them left after it."""

from collections.abc import Iterator

import pytest

from tests.e2e.lab.node import Node
from tests.e2e.lab.rootfs import IMAGES, NODES, RootFS, prepare


@pytest.fixture(scope="session")
def cache() -> None:
    prepare([*IMAGES.values(), *NODES.values()])


@pytest.fixture(scope="session", params=NODES)
def node(request: pytest.FixtureRequest, cache: None) -> Iterator[Node]:
    with Node(NODES[request.param]) as node:
        node.install()
        yield node


@pytest.fixture(scope="session", params=IMAGES)
def image(request: pytest.FixtureRequest, cache: None) -> RootFS:
    return IMAGES[request.param]
