"""Containers that are not systemd's run as if nobody had asked: the same bytes, and no interpreter started."""

import shutil
from collections.abc import Iterator

import pytest

from tests.e2e.lab.container import Container, until
from tests.e2e.lab.node import Node
from tests.e2e.lab.rootfs import IMAGES

pytestmark = pytest.mark.engine

CALLS = "/run/interpreter-calls"
SAY = "echo here"
IMAGE = IMAGES["forky"]  # its C library is not older than any node's
PROGRAMS = {"/usr/bin/busybox": "usr/bin/busybox", "/usr/bin/tini": "usr/sbin/tini"}
COMMANDS = {
    "busybox": ["/bin/busybox", "echo", "here"],
    "shell": ["/bin/sh", "-c", SAY],
    "tini": ["/sbin/tini", "--", "/bin/sh", "-c", SAY],
    "s6-like-init": ["/init"],
}


@pytest.fixture(scope="module")
def recorded(node: Node) -> Iterator[Node]:
    """The node, its wrapper's interpreter replaced by one that leaves a line in CALLS before it does the same."""
    installed = node.path(node.launcher)
    interpreter = node.run("readlink", "-f", "/usr/bin/python3").stdout.strip()
    recorder = node.path("/usr/bin/recorded-interpreter")
    recorder.write_text(f'#!/bin/sh\necho "$@" >>{CALLS}\nexec {interpreter} "$@"\n')
    recorder.chmod(0o755)
    launcher = installed.with_name("recorded-runtime")
    launcher.write_text(installed.read_text().replace(interpreter, "/usr/bin/recorded-interpreter"))
    launcher.chmod(0o755)
    before, node.launcher = node.launcher, "/usr/bin/recorded-runtime"
    yield node
    node.launcher = before


def fill(container: Container) -> None:
    """Programs that are PID 1 elsewhere, beside a systemd that nobody asks for."""
    tree, node = container.layer, container.node
    for program, place in PROGRAMS.items():
        shutil.copy(node.path(program), tree / place)
    (tree / "init").write_text(f"#!/bin/sh\n{SAY}\n")
    (tree / "init").chmod(0o755)


def calls(node: Node) -> str:
    recorded = node.path(CALLS)
    return recorded.read_text() if recorded.exists() else ""


@pytest.mark.parametrize("start", ["create-start", "run"])
@pytest.mark.parametrize("args", COMMANDS.values(), ids=COMMANDS)
def test_it_keeps_its_bytes_and_starts_no_interpreter(recorded: Node, args: list[str], start: str) -> None:
    with Container(recorded, IMAGE) as container:
        fill(container)
        container.edit(lambda spec: spec["process"].update(args=args))
        before, called = container.config, calls(recorded)
        {"create-start": container.create_and_start, "run": container.run}[start]()
        until(lambda: str(container.state["status"]), "stopped".__eq__, 5)
        assert container.said == "here\n"
        assert container.config == before
        assert calls(recorded) == called


def test_systemd_does_start_the_interpreter(recorded: Node) -> None:
    with Container(recorded, IMAGE) as container:
        before, called = container.config, calls(recorded)
        container.create()
        assert container.config != before
        assert calls(recorded) != called


def test_a_sbin_init_that_is_busybox_keeps_its_bytes(recorded: Node) -> None:
    with Container(recorded, IMAGE) as container:
        fill(container)
        (container.layer / "usr/sbin/init").unlink()
        (container.layer / "usr/sbin/init").symlink_to("../bin/busybox")
        before = container.config
        container.create()
        assert container.config == before
