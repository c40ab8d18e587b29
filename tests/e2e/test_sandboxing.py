"""The blocks of docs/sandboxing.md make services work; they are tried word for word."""

import re
from collections.abc import Iterator

import pytest

from tests.e2e.lab.container import Container, Spec
from tests.e2e.lab.node import SOURCE, Node
from tests.e2e.lab.rootfs import NODES, RootFS

pytestmark = pytest.mark.engine

PAGE = SOURCE / "docs/sandboxing.md"
HARDENED = """[Service]
User=nobody
PrivateDevices=yes
RestrictNamespaces=yes
SystemCallFilter=@system-service
ExecStart=sleep infinity
"""
TAKES = """[Service]
Type=oneshot
RemainAfterExit=yes
LoadCredential=name:/etc/hostname
ExecStart=sh -c 'test -s "$CREDENTIALS_DIRECTORY/name"'
"""


def block(number: int) -> str:
    return str(re.findall(r"```ini\n(.*?)```", PAGE.read_text(), re.DOTALL)[number])


@pytest.fixture(scope="module")
def one(cache: None) -> Iterator[Node]:
    with Node(NODES["runc-1.3"]) as node:
        node.install()
        yield node


def active(container: Container, unit: str) -> str:
    container.exec("systemctl", "start", unit)
    return container.output("systemctl", "show", "--property=ActiveState", "--value", unit)


def test_the_drop_in_starts_a_service_with_filters_and_they_hold(one: Node, image: RootFS) -> None:
    with Container(one, image) as container:
        system = container.layer / "etc/systemd/system"
        (system / "hardened.service").write_text(HARDENED)
        (system / "hardened.service.d").mkdir()
        (system / "hardened.service.d/container.conf").write_text(block(0))
        container.create_and_start()
        assert container.system_state() == "running", container.said
        assert active(container, "hardened") == "active"
        status = container.output("sh", "-c", "cat /proc/$(systemctl show -P MainPID hardened)/status")
        assert "Seccomp:\t2" in status


def test_the_unit_gives_services_their_credentials_where_systemd_may_mount(one: Node, image: RootFS) -> None:
    def grant(spec: Spec) -> None:
        for granted in spec["process"]["capabilities"].values():
            if "CAP_SYS_ADMIN" not in granted:
                granted.append("CAP_SYS_ADMIN")

    with Container(one, image) as container:
        system = container.layer / "etc/systemd/system"
        (system / "takes.service").write_text(TAKES)
        (system / "shared-mounts.service").write_text(block(1))
        (system / "sysinit.target.wants").mkdir(exist_ok=True)
        (system / "sysinit.target.wants/shared-mounts.service").symlink_to("../shared-mounts.service")
        (container.layer / "etc/hostname").write_text("lab\n")
        container.edit(grant)
        container.create_and_start()
        container.system_state()
        assert active(container, "takes") == "active"
