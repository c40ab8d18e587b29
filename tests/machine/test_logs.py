"""`docker logs` and `podman logs` show the journal, and services have the variables of `--env`, by the words of the documents."""

import pytest

from tests.machine.lab.cli import by_wrapper
from tests.machine.lab.life import booted, until
from tests.machine.lab.machine import Machine

pytestmark = pytest.mark.engine

CONSOLE, ENVIRONMENT = "io.systemd.container.console=journal", "io.systemd.container.environment=GREETING"
SAYS = """systemd-run --wait --quiet sh -c 'echo "it says $GREETING"'"""


@pytest.mark.parametrize("engine", ["docker", "podman"])
def test_the_log_is_the_journal_and_services_have_variables(machine: Machine, engine: str) -> None:
    run = ["--tty", "--env", "GREETING=hello  world", "--annotation", CONSOLE, "--annotation", ENVIRONMENT]
    with by_wrapper(machine, engine, run).container("debian-13") as guest:
        assert booted(guest) == "running"
        guest.ask("sh", "-c", SAYS)
        log = until(lambda: guest.call("logs").stdout, lambda said: "it says" in said, 20)
    assert "it says hello  world" in log
    assert "\x1b" not in log
