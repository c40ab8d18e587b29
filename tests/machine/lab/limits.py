"""Boots in the machine while a probe asks the container (limited.py)."""

from pathlib import Path

from tests.machine.lab.machine import Machine

PROGRAM = Path(__file__).with_name("limited.py")
THERE = "/root/limited.py"


def boots(machine: Machine, image: str, probe: str, times: int) -> list[str]:
    """For each boot the services without limits."""
    machine.write(THERE, PROGRAM.read_text())
    said = machine.run("python3", THERE, image, probe, str(times), limit=60 + 60 * times).stdout
    return [line.removeprefix("units:").strip() for line in said.splitlines()]
