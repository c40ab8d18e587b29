"""Services in a container that write down how they are stopped, in a directory of the machine's.

`mark` does its work in ExecStop, as what saves a state does, and writes when it begins and ends. `server` is like nginx: a main
process that ends cleanly by QUIT or TERM, which ExecStop asks for, and a worker. `sessions` is like sshd: its unit stops the main
process alone, and TERM is enough.
"""

from __future__ import annotations

from dataclasses import dataclass

from tests.machine.lab.life import Guest

PLACE = "/marks"
MARKS = "/run/marks"
UNITS = {
    "mark": """[Service]
Type=oneshot
RemainAfterExit=yes
ExecStart=true
ExecStop=sh -c 'cut -d. -f1 /proc/uptime >>/marks/mark; sleep 2; cut -d. -f1 /proc/uptime >>/marks/mark'
""",
    "server": """[Service]
KillMode=mixed
ExecStart=sh -c 'trap "echo cleanly >>/marks/server; exit 0" QUIT TERM; while :; do sleep 1000 & wait; done'
ExecStop=-sh -c 'kill -QUIT $MAINPID; sleep 1'
ExecStopPost=sh -c 'echo $SERVICE_RESULT $EXIT_STATUS >>/marks/server'
""",
    "sessions": """[Service]
KillMode=process
ExecStart=sh -c 'trap "echo cleanly >>/marks/sessions; exit 0" TERM; while :; do sleep 1000 & wait; done'
ExecStopPost=sh -c 'echo $SERVICE_RESULT $EXIT_STATUS >>/marks/sessions'
""",
}
START = """cd /run/systemd/system
systemctl daemon-reload
systemctl start mark server sessions"""
# The last of all: the directory is printed when the machine has stopped everything (systemd-shutdown(8)).
LAST = "/usr/lib/systemd/system-shutdown/marks"
LAST_TEXT = f"""#!/bin/sh
cd {MARKS} && for each in */*; do echo "mark: $each $(tr '\\n' ' ' <"$each")"; done >/dev/ttyS0
echo "down: $(cut -d' ' -f1 /proc/uptime)" >/dev/ttyS0
"""


@dataclass(frozen=True)
class Marks:
    """What the services said: whether ExecStop of `mark` came to its end, and the others' words."""

    complete: bool
    server: str
    sessions: str


def begin(guest: Guest) -> None:
    """Start the services in a container that has booted."""
    files = "".join(f"cat >/run/systemd/system/{name}.service <<'END'\n{text}END\n" for name, text in UNITS.items())
    guest.machine.run("nsenter", "--all", f"--target={guest.pid()}", "sh", "-ec", files + START)


def scope(guest: Guest) -> str:
    """The unit of the machine's systemd that the container is in."""
    path = guest.machine.output("sed", "-n", "s/^0:://p", f"/proc/{guest.pid()}/cgroup")
    return next(part for part in path.split("/") if part.endswith(".scope") and part != "init.scope")


def prepare(guest_name: str) -> str:
    """The script that makes a container's directory, empty: an earlier container of this name has left its marks there."""
    place = f"{MARKS}/{guest_name}"
    return f"rm -rf {place} && mkdir -p {place} && chmod 1777 {place}"


def read(guest: Guest, name: str) -> Marks:
    said = {each: guest.machine.run("cat", f"{MARKS}/{name}/{each}", check=False).stdout.split() for each in UNITS}
    return Marks(len(said["mark"]) == 2, " ".join(said["server"]), " ".join(said["sessions"]))
