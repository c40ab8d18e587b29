"""docs/start.md: each `docker run` and `podman run` line runs with only IMAGE replaced, and does what the page says."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest

from tests.e2e.lab.node import SOURCE
from tests.machine.lab.archives import image
from tests.machine.lab.cli import Cli, CliGuest
from tests.machine.lab.life import booted, until
from tests.machine.lab.machine import Machine

pytestmark = pytest.mark.engine

PAGE = (SOURCE / "docs/start.md").read_text()
HERE = "/root/start"  # where the lines are typed
PASSWORD = "correct horse"
ENGINES = ("docker", "podman")
BLOCK = re.compile(r"```(?:sh|ini)\n(.*?)```", re.DOTALL)
engines = pytest.mark.parametrize("engine", ENGINES)


def blocks(heading: str) -> list[str]:
    """The code blocks below a heading of the page."""
    section = PAGE.partition(f"\n## {heading}\n")[2].partition("\n## ")[0]
    return BLOCK.findall(section)


def line(heading: str, engine: str) -> str:
    """The heading's one line for an engine."""
    (found,) = (each for each in blocks(heading)[-1].splitlines() if each.startswith(f"{engine} "))
    return found


def run(machine: Machine, heading: str, engine: str) -> subprocess.CompletedProcess[str]:
    """Type the line. The lab's image has an entrypoint, which those of packaging/images have not."""
    typed = line(heading, engine).replace(" IMAGE ", f' --entrypoint "" {image("debian-13")} ')
    return machine.run("sh", "-c", f"cd {HERE} && {typed}", check=False)


@pytest.fixture(scope="module")
def start(machine: Machine) -> Machine:
    """The machine with the files of the page."""
    machine.write(f"{HERE}/secrets/app.password", PASSWORD)
    machine.write(f"{HERE}/job.service", blocks("Job")[0])
    machine.write(f"{HERE}/entrypoint.sh", blocks("Entrypoint")[0])
    machine.run("chmod", "+x", f"{HERE}/entrypoint.sh")
    return machine


def logs(guest: CliGuest) -> bool:
    guest.ask("systemd-run", "--wait", "--quiet", "echo", "a service says this")
    return says(guest, "a service says this") and "\x1b" not in guest.call("logs").stdout


def says(guest: CliGuest, part: str) -> bool:
    """Whether its log has these words in the end."""
    return part in until(lambda: guest.call("logs").stdout, lambda said: part in said, 20)


def environment(guest: CliGuest) -> bool:
    return guest.ask("systemd-run", "--wait", "--quiet", "--pipe", "printenv", "GREETING") == "hello  world"


def secrets(guest: CliGuest) -> bool:
    load = ("systemd-run", "--wait", "--quiet", "--pipe", "--property=LoadCredential=app.password")
    return guest.ask(*load, "sh", "-c", 'cat "$CREDENTIALS_DIRECTORY/app.password"') == PASSWORD


def vm(guest: CliGuest) -> bool:
    (wanted,) = set(re.findall(r"container_uuid=(\w+)", PAGE))
    guest.stop(120)
    return (guest.call("start").returncode, booted(guest), guest.ask("cat", "/etc/machine-id")) == (
        0,
        "running",
        wanted,
    )


def entrypoint(guest: CliGuest) -> bool:
    return guest.ask("cat", "/srv/prepared") == "prepared"


def debug(guest: CliGuest) -> bool:
    return says(guest, "Found cgroup2 on /sys/fs/cgroup/")  # said at level debug only


def restricted(guest: CliGuest) -> bool:
    state = ("systemd-run", "--wait", "--quiet", "--property=StateDirectory=it", "--property=User=nobody", "true")
    return guest.call("exec", *state).returncode == 0


CHECKS: dict[str, Callable[[CliGuest], bool]] = {
    "Logs": logs,
    "Environment": environment,
    "Secrets": secrets,
    "Machine": vm,
    "Entrypoint": entrypoint,
    "Debug": debug,
    "Restricted": restricted,
}


@contextmanager
def typed(machine: Machine, heading: str, engine: str) -> Iterator[CliGuest]:
    done = run(machine, heading, engine)
    assert done.returncode == 0, done.stderr
    guest = CliGuest(Cli(machine, engine), done.stdout.strip())
    try:
        yield guest
    finally:
        guest.call("rm", options=["--force", "--volumes"])


@engines
@pytest.mark.parametrize("heading", CHECKS)
def test_the_line_does_what_the_page_says(start: Machine, heading: str, engine: str) -> None:
    with typed(start, heading, engine) as guest:
        assert booted(guest) == "running"
        assert CHECKS[heading](guest)


@engines
def test_the_job_ends_with_the_code_of_its_unit(start: Machine, engine: str) -> None:
    assert run(start, "Job", engine).returncode == 3


def test_every_heading_is_tried_here() -> None:
    assert set(re.findall(r"^## (.*)$", PAGE, re.MULTILINE)) == {*CHECKS, "Job"}
