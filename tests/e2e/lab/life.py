"""One whole life of a systemd container, lived once and written down, so that many tests can each read one thing of it."""

import socket
from dataclasses import dataclass, field
from pathlib import Path

from tests.e2e.lab.container import Container, until
from tests.e2e.lab.mounts import Mount, at
from tests.e2e.lab.silence import silence

TMPFS = ("/run", "/run/lock", "/tmp", "/var/log/journal")


@dataclass
class Life:
    id: str
    state: str = ""
    failed: str = ""
    machine_id: str = ""
    environment: list[str] = field(default_factory=list)
    mounts: dict[str, Mount | None] = field(default_factory=dict)
    modes: dict[str, int] = field(default_factory=dict)
    ticked: bool = False
    greeting: bytes = b""
    phoenix: str = ""
    time_to_stop: float = 0
    stopped: list[str] = field(default_factory=list)
    said: str = ""


def live(container: Container) -> Life:
    """A container's life from its start to its stop; what was never seen is empty."""
    life = Life(container.id, state=container.system_state())
    if life.state in ("running", "degraded"):
        look(container, life)
        work(container, life)
        with silence():
            life.time_to_stop = container.time_to_stop("TERM")
        life.stopped = lines(container.layer / "var/stopped")
    life.said = container.said
    return life


def look(container: Container, life: Life) -> None:
    proc = container.proc
    life.failed = container.output("systemctl", "--failed", "--no-legend", "--plain")
    life.machine_id = lines(container.layer / "etc/machine-id")[0]
    life.environment = (proc / "environ").read_text().split("\0")
    life.mounts = {place: at(proc, place) for place in (*TMPFS, "/sys/fs/cgroup")}
    life.modes = {place: (proc / "root" / place.lstrip("/")).stat().st_mode & 0o1777 for place in TMPFS}


def work(container: Container, life: Life) -> None:
    life.ticked = until(lambda: str((container.layer / "var/ticked").exists()), "True".__eq__, 5) == "True"
    life.greeting = greeting(container.proc / "root/run/greet")
    container.exec("systemctl", "kill", "--signal=KILL", "phoenix")
    again = "ActiveState=active NRestarts=1"
    shown = ("systemctl", "show", "phoenix", "--property=ActiveState,NRestarts")
    life.phoenix = until(lambda: " ".join(sorted(container.output(*shown).split())), again.__eq__, 5)


def greeting(path: Path) -> bytes:
    try:
        with socket.socket(socket.AF_UNIX) as connection:
            connection.settimeout(5)
            connection.connect(str(path))
            return connection.recv(100)
    except OSError as error:
        return str(error).encode()


def lines(path: Path) -> list[str]:
    return path.read_text().splitlines() if path.exists() else []
