"""What tables are measured on: one node, and a container with each systemd that the lab has."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from tests.e2e.lab.container import Container, Spec
from tests.e2e.lab.containerd import Containerd
from tests.e2e.lab.node import Node
from tests.e2e.lab.rootfs import IMAGES, NODES, RootFS, prepare

SYSTEMD = {"252": "debian-12", "257": "debian-13", "262": "forky"}  # versions, and the images that have them


def same(values: dict[str, str]) -> str:
    """Return the value of all versions; where they differ, each value behind its versions."""
    versions: dict[str, list[str]] = {}
    for version, value in values.items():
        versions.setdefault(value or "nothing", []).append(version)
    if len(versions) == 1:
        return next(iter(versions))
    return "; ".join(f"{', '.join(each)}: {value}" for value, each in versions.items())


@contextmanager
def node() -> Iterator[Node]:
    """A node with the newest runc and the product installed."""
    prepare([*(IMAGES[each] for each in SYSTEMD.values()), NODES["runc-1.3"]])
    with Node(NODES["runc-1.3"]) as node:
        node.install()
        yield node


@contextmanager
def containerd() -> Iterator[Containerd]:
    """A node's containerd with our handler and the lab's images."""
    with Node(NODES["runc-1.3"]) as node:
        node.spare_limits()
        node.install()
        engine = Containerd(node)
        engine.use_configuration("packaged")
        engine.start()
        engine.import_images()
        engine.install_handlers()
        engine.restart()
        yield engine
        engine.cri.close()
        engine.stop()


def image(version: str) -> RootFS:
    return IMAGES[SYSTEMD[version]]


@contextmanager
def booted(
    node: Node, version: str, change: Callable[[Spec], None], units: dict[str, str] | None = None
) -> Iterator[Container]:
    """A container with this systemd that has come up, degraded or not: its spec changed, `units` put into it and enabled."""
    with Container(node, image(version), terminal=True) as container:
        enable(container, units or {})
        container.edit(change)
        container.create_and_start()
        container.system_state(30)
        yield container


def enable(container: Container, units: dict[str, str]) -> None:
    """Put units into the image, wanted by multi-user.target."""
    system = container.layer / "etc/systemd/system"
    wants = system / "multi-user.target.wants"
    wants.mkdir(exist_ok=True)
    for name, text in units.items():
        (system / name).write_text(text)
        (wants / name).symlink_to(f"../{name}")


def failed(container: Container) -> list[str]:
    """Return the units that have failed."""
    return [
        line.split()[0] for line in container.output("systemctl", "--failed", "--no-legend", "--plain").splitlines()
    ]
