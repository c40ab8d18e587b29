"""Nodes, images, wrappers and engines for the end-to-end tests: made once for a session, nothing of them left after it."""

import fcntl
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from functools import cache as once
from pathlib import Path
from typing import IO

import pytest

from tests.e2e.lab.containerd import Containerd
from tests.e2e.lab.node import Node
from tests.e2e.lab.rootfs import CACHE, IMAGES, NODES, RootFS, prepare

# The nodes with the engines that pods are run by, and the configurations that these start from.
ENGINES = {
    f"containerd-{major}-{configuration}": (NODES[node], configuration)
    for major, node in ((1, "runc-1.1"), (2, "runc-1.3"))
    for configuration in ("packaged", "site", "nri")
}
BY_NRI = [name for name in ENGINES if name.endswith("nri")]
BY_WRAPPER = [name for name in ENGINES if name not in BY_NRI]
STOP_SIGNAL = "SIGRTMIN+3"  # of the images, where nobody makes it of SIGTERM


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


@pytest.fixture(scope="session")
def inotify(cache: None) -> Iterator[None]:
    """Room for many systemds: each takes five or six inotify instances, and a user has 128 (inotify(7)).

    The first worker raises the limit, and the last one gives back what was there before.
    """
    limit = Path("/proc/sys/fs/inotify/max_user_instances")
    with open(CACHE / ".inotify", "a+") as before:
        if alone(before):
            before.truncate(0)
            before.write(limit.read_text())
            before.flush()
            limit.write_text(str(max(int(limit.read_text()), 2048)))
        fcntl.flock(before, fcntl.LOCK_SH)
        yield
        if alone(before):
            before.seek(0)
            limit.write_text(before.read())


def alone(file: IO[str]) -> bool:
    """Return whether nobody else holds a lock on an open file; this process does then."""
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


@pytest.fixture(scope="session")
def containerds(cache: None, inotify: None) -> Iterator[Callable[[RootFS], Containerd]]:
    """A node's containerd, the same each time, not running."""
    with ExitStack() as stack:

        @once
        def containerd(rootfs: RootFS) -> Containerd:
            node = stack.enter_context(Node(rootfs))
            node.spare_limits()
            node.install()
            engine = Containerd(node)
            stack.callback(engine.cri.close)
            return engine

        yield containerd


@pytest.fixture(scope="session", params=ENGINES)
def engine(request: pytest.FixtureRequest, containerds: Callable[[RootFS], Containerd]) -> Iterator[Containerd]:
    """containerd with our handlers, for pods that name them; in place of them with our plugin, where it has NRI."""
    rootfs, configuration = ENGINES[request.param]
    engine = containerds(rootfs)
    engine.use_configuration(configuration)
    engine.start()
    engine.import_images(STOP_SIGNAL if configuration == "nri" else "")
    engine.install_handlers()
    engine.restart()
    if configuration == "nri":
        engine.start_plugin()
    yield engine
    if engine.has_plugin:
        engine.stop_plugin()
    engine.uninstall_handlers("--force")
    engine.stop()
