"""One life of a systemd container under an engine, from boot to stop; many tests each check one thing of it."""

import time
from dataclasses import dataclass
from functools import partial
from typing import Protocol

from tests.e2e.lab import container
from tests.machine.lab.machine import Machine

GRACE = 60  # an emulated processor is slow; an engine that has to kill waits for all of it
# Asked from outside, in the container's namespaces but not in its cgroup: a process that an engine starts there while systemd
# boots is in the way when it hands controllers down (cgroup v2, "no internal processes"), and units get no limits.
BOOT = """for each in $(seq 100); do
    said=$(systemctl is-system-running --wait 2>/dev/null)
    case $said in running | degraded) break ;; esac
    sleep 1
done
echo "$said" """
# Questions over ssh are slow, so they are fewer.
until = partial(container.until, pause=0.5)
LOOK = """systemctl --failed --no-legend --plain
echo //; cat /etc/machine-id
echo //; tr '\\0' '\\n' </proc/1/environ"""


class Guest(Protocol):
    """A container under an engine."""

    id: str

    @property
    def machine(self) -> Machine: ...

    def pid(self) -> int:
        """Of its first process, as the machine counts; 0 if it has ended."""

    def ask(self, *words: str) -> str:
        """What a command in it prints; nothing if it fails."""

    def stop(self, grace: int) -> None: ...

    def exit_code(self) -> int: ...


@dataclass(frozen=True)
class Life:
    id: str
    state: str
    failed: str
    machine_id: str
    environment: list[str]
    seconds_to_stop: float
    exit_code: int


def live(guest: Guest) -> Life:
    state = booted(guest)
    failed, machine_id, environment = said(guest)
    begin = time.monotonic()
    guest.stop(GRACE)
    seconds = time.monotonic() - begin
    return Life(guest.id, state, failed, machine_id, environment.split(), seconds, guest.exit_code())


def booted(guest: Guest) -> str:
    """What `systemctl is-system-running` says at last."""
    if not (pid := guest.pid()):
        return "stopped"
    return guest.machine.run("nsenter", "--all", f"--target={pid}", "sh", "-c", BOOT, check=False).stdout.strip()


def said(guest: Guest) -> list[str]:
    """The three parts of what the container says; of one that died, as many as there are."""
    parts = guest.ask("sh", "-c", LOOK).split("//", 2)
    return [each.strip() for each in (*parts, "", "")][:3]


def assert_whole(life: Life) -> None:
    """systemd came up, had the right machine-id, and stopped by itself when asked."""
    assert (life.state, life.failed) == ("running", "")
    assert life.machine_id == life.id[:32]
    assert f"container_uuid={life.machine_id}" in life.environment
    assert_went(life)


def assert_went(life: Life) -> None:
    """An engine that has to kill waits for the grace, and sees 137."""
    assert life.exit_code == 0
    assert life.seconds_to_stop < GRACE
