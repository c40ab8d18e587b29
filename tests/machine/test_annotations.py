"""Annotations by the words of Docker and podman: an entrypoint that nobody could know, another stop signal, a wrong value.

Both pass annotations on in the same way (test_start.py has each line of docs/start.md under both), so each case boots under one.
"""

import time

import pytest

from tests.machine.lab.cli import Cli
from tests.machine.lab.engines import WRAPPERS
from tests.machine.lab.life import GRACE, assert_whole, booted, live
from tests.machine.lab.machine import Machine

pytestmark = pytest.mark.engine

ASKS = "io.systemd.container=true"
STOP = "io.systemd.container.stop-signal"
KILLED = 128 + 9
SHELL = "--entrypoint=sh"
WORDS = ("-c", "true; exec /sbin/init")  # its first word is not an init, and its last command cannot be read


def annotated(engine: str, machine: Machine, *annotations: str) -> Cli:
    """Docker by its own option, podman by its own; both have the runtime by the same name."""
    given = [f"--annotation={each}" for each in annotations]
    runtime = ["--runtime", WRAPPERS["runc"]]
    run = [*given, SHELL]
    if engine == "docker":
        return Cli(machine, engine, run=[*runtime, *run])
    return Cli(machine, engine, runtime, ["--systemd=false", *run])


def test_an_entrypoint_that_asks_is_served(machine: Machine) -> None:
    with annotated("docker", machine, ASKS).container("debian-13", *WORDS) as guest:
        assert_whole(live(guest))


def test_another_signal_stops_it(machine: Machine) -> None:
    """SIGRTMIN+4 starts poweroff.target; what the usual one would start, cannot be."""
    with annotated("podman", machine, ASKS, f"{STOP}=SIGRTMIN+4").container("debian-13", *WORDS) as guest:
        booted(guest)
        guest.ask("systemctl", "mask", "halt.target")
        begin = time.monotonic()
        guest.stop(GRACE)
        assert time.monotonic() - begin < GRACE
        assert guest.exit_code() == 0


def test_without_a_signal_it_has_to_be_killed(machine: Machine) -> None:
    """To systemd a SIGTERM means: start yourself anew."""
    with annotated("docker", machine, ASKS, f"{STOP}=none").container("debian-13", *WORDS) as guest:
        assert booted(guest) == "running"
        guest.stop(3)
        assert guest.exit_code() == KILLED


def test_a_label_of_docker_does_not_ask(machine: Machine) -> None:
    cli = Cli(machine, "docker", run=["--runtime", WRAPPERS["runc"], f"--label={ASKS}", SHELL])
    with cli.container("debian-13", "-c", ": systemd; sleep 1000") as guest:
        assert "container_uuid" not in guest.ask("cat", "/proc/1/environ")


@pytest.mark.parametrize("engine", ["docker", "podman"])
def test_a_wrong_value_is_told_by_the_engine(machine: Machine, engine: str) -> None:
    cli = annotated(engine, machine, "io.systemd.container=yes")
    done = cli.call(*cli.words("debian-13", *WORDS, options=["--detach"]))
    assert done.returncode != 0
    assert "io.systemd.container" in done.stderr
    assert '"true", "false" or "auto"' in done.stderr
