"""A container that names a cgroup of others, by containerd's own client: it runs as described."""

from collections.abc import Iterator

import pytest

from tests.e2e.lab.container import Container
from tests.e2e.lab.containerd import Containerd
from tests.e2e.lab.node import Node
from tests.e2e.lab.rootfs import IMAGES, NODES, prepare

pytestmark = pytest.mark.engine

IMAGE = IMAGES["debian-13"]
BUSY = "/sys/fs/cgroup/busy"
CGROUP = ["nosuid", "noexec", "nodev", "relatime", "ro"]
# linux.cgroupsPath, and the message about it; runc takes a relative one from its own cgroup's parent.
PATHS = {
    "/": "the top of the hierarchy",
    "/..": "the top of the hierarchy",
    "../../": "the top of the hierarchy",
    "/busy": "in use: it already holds processes",
    "/busy/..": "the top of the hierarchy",
}


@pytest.fixture(scope="module")
def engine() -> Iterator[Containerd]:
    prepare([IMAGE, NODES["runc-1.3"]])
    with Node(NODES["runc-1.3"]) as node:
        node.install()
        engine = Containerd(node)
        engine.use_configuration("packaged")
        engine.start()
        node.run("sh", "-c", f"mkdir {BUSY}; sleep 1000 >/dev/null 2>&1 & echo $! >{BUSY}/cgroup.procs")
        yield engine
        engine.cri.close()
        engine.stop()


def line_for(engine: Containerd, path: str) -> str:
    """What our log says of a container that containerd's own client runs with this path."""
    with Container(engine.node, IMAGE) as container:
        spec = container.spec
        spec["root"]["path"] = str(container.bundle) + "/rootfs"
        spec["linux"]["cgroupsPath"] = path
        spec["mounts"] = [each for each in spec["mounts"] if each["destination"] != "/sys/fs/cgroup"]
        spec["mounts"].append(
            {"destination": "/sys/fs/cgroup", "type": "cgroup", "source": "cgroup", "options": CGROUP}
        )
        container.write(spec)
        words = ["--detach", f"--runc-binary={engine.node.launcher}", f"--config={container.bundle}/config.json"]
        engine.node.run("ctr", "run", *words, container.id, check=False)
        lines = [line for line in engine.told().splitlines() if container.id in line]
        engine.node.run("ctr", "task", "rm", "--force", container.id, check=False)
    assert len(lines) == 1
    return lines[0]


def test_a_cgroup_of_its_own_becomes_writable(engine: Containerd) -> None:
    assert '"message":"adjusted"' in line_for(engine, "/own")


@pytest.mark.parametrize("path", PATHS)
def test_no_other_does(engine: Containerd, path: str) -> None:
    before = engine.node.run("sh", "-c", "ls -d /sys/fs/cgroup/*/").stdout
    line = line_for(engine, path)
    assert PATHS[path] in line
    assert '"message":"left alone"' in line
    assert engine.node.run("sh", "-c", "ls -d /sys/fs/cgroup/*/").stdout == before
