"""How a container of Docker's or podman's ends, by the table of ends, and what `wait` prints then."""

from tests.e2e.lab.ends import TO_END, End, ended
from tests.machine.lab.cli import CliGuest


def end_guest(guest: CliGuest, end: End) -> int | None:
    """Have a booted container end; what `docker wait` or `podman wait` prints, None if it runs on."""
    if end.stop:
        guest.stop(TO_END)
    elif end.signal:
        guest.machine.run("kill", f"-{end.signal}", str(guest.pid()))
    else:
        guest.call("exec", "sh", "-c", end.command)
    return int(guest.call("wait").stdout) if ended(lambda: guest.inspect("Running") == "false", end) else None
