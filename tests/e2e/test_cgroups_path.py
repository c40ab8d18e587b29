"""A container that names a cgroup of others, by containerd's own client: it runs as described."""

from collections.abc import Iterator

import pytest

from tests.e2e.lab import images
from tests.e2e.lab.containerd import Containerd
from tests.e2e.lab.node import Node
from tests.e2e.lab.rootfs import IMAGES, NODES, prepare

pytestmark = pytest.mark.engine

IMAGE = "debian-13"
BUSY = "/sys/fs/cgroup/busy"
# linux.cgroupsPath, and what is said of it; runc takes a relative one from its own cgroup's parent.
PATHS = {
    "/": "the top of the hierarchy",
    "/..": "the top of the hierarchy",
    "../../": "the top of the hierarchy",
    "/busy": "a cgroup that holds processes already",
    "/busy/..": "the top of the hierarchy",
}


@pytest.fixture(scope="module")
def engine() -> Iterator[Containerd]:
    prepare([IMAGES[IMAGE], NODES["runc-1.3"]])
    with Node(NODES["runc-1.3"]) as node:
        node.spare_limits()
        node.install()
        engine = Containerd(node)
        engine.use_configuration("packaged")
        engine.start()
        images.write_systemd(IMAGE, node.path("/tmp/image.tar"))
        node.run("ctr", "images", "import", "--snapshotter=overlayfs", "--local", "/tmp/image.tar")
        node.run("sh", "-c", f"mkdir {BUSY}; sleep 1000 >/dev/null 2>&1 & echo $! >{BUSY}/cgroup.procs")
        yield engine
        engine.cri.close()
        engine.stop()


def run(engine: Containerd, path: str, id: str) -> None:
    words = ["--snapshotter=overlayfs", "--detach", f"--runc-binary={engine.node.launcher}", f"--cgroup={path}"]
    engine.node.run("ctr", "run", *words, images.name(IMAGE), id, check=False)


def test_a_cgroup_of_its_own_becomes_writable(engine: Containerd) -> None:
    run(engine, "/own", "own")
    assert "adjusted" in next(line for line in engine.told().splitlines() if '"container_id":"own"' in line)


@pytest.mark.parametrize("path", PATHS)
def test_no_other_does(engine: Containerd, path: str) -> None:
    id = f"odd-{list(PATHS).index(path)}"
    before = engine.node.run("sh", "-c", "ls -d /sys/fs/cgroup/*/").stdout
    run(engine, path, id)
    line = next(line for line in engine.told().splitlines() if f'"container_id":"{id}"' in line)
    assert PATHS[path] in line
    assert '"message":"left alone"' in line
    assert engine.node.run("sh", "-c", "ls -d /sys/fs/cgroup/*/").stdout == before
