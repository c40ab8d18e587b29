"""README.md's starts with Docker and podman, word for word: each ends in a running systemd that stops cleanly."""

import pytest

from tests.documents import SOURCE, block
from tests.machine.lab import engines
from tests.machine.lab.archives import image
from tests.machine.lab.cli import Cli
from tests.machine.lab.life import GRACE, until
from tests.machine.lab.machine import Machine

pytestmark = pytest.mark.engine

IMAGE = "localhost/debian-systemd:13"
"""What README.md builds, which needs a registry; here it is the lab's own Debian 13 with the same STOPSIGNAL."""


@pytest.mark.parametrize("engine", ["docker", "podman"])
def test_a_start_ends_in_a_running_systemd(machine: Machine, engine: str) -> None:
    install, run, pause, ask, stop = block(SOURCE / "README.md", f"oci-systemd install {engine}").splitlines()
    options = install.split()[3:]
    Cli(machine, engine).commit("debian-13", "start", "STOPSIGNAL SIGRTMIN+3")
    machine.run(engine, "tag", image("start"), IMAGE)
    machine.run("oci-systemd", "uninstall", engine, *options)  # the machine has the same handler already
    try:
        machine.run("sh", "-exc", f"{install}\n{run}\n{pause}")
        assert said(machine, ask) == "running"
        machine.run("sh", "-exc", stop.replace(" stop ", f" stop --time {GRACE} "))  # an emulated processor is slow
        assert machine.output(engine, "inspect", "--format", "{{.State.ExitCode}}", "machine") == "0"
    finally:
        machine.run(engine, "rm", "--force", "machine", check=False)
        engines.install(machine, engine, "runc", *options)


def said(machine: Machine, ask: str) -> str:
    """What the start's own question says at last: somebody who reads it asks again as long as systemd is on its way."""
    return until(lambda: machine.run("sh", "-c", ask, check=False).stdout.strip(), "running".__eq__, 180)
