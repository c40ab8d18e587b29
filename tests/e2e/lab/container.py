"""A container on a node: a bundle over an image's own throw-away layer, driven by the commands that an engine would give.

Law: whatever happens, `close` leaves no container, no mount and no cgroup.
"""

import json
import os
import secrets
import subprocess
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from tests.e2e.lab.closing import Closing
from tests.e2e.lab.node import Node
from tests.e2e.lab.rootfs import RootFS
from tests.e2e.lab.terminal import Terminal

Spec = dict[str, Any]

# What containerd, CRI-O, Docker and podman (but for a few) let a container do that asks for nothing.
CAPABILITIES = """CHOWN DAC_OVERRIDE FSETID FOWNER MKNOD NET_RAW SETGID SETUID SETFCAP SETPCAP NET_BIND_SERVICE
    SYS_CHROOT KILL AUDIT_WRITE""".split()
UNITS = Path(__file__).with_name("units")
PROMPT = 2.0  # seconds. A stop takes 0.2 on an idle machine; engines kill after 10 or more


class Container(Closing):
    """`call` starts the wrapper; questions about the container go to the same wrapper."""

    def __init__(self, node: Node, image: RootFS, *, terminal: bool = False) -> None:
        self.node = node
        self.id = secrets.token_hex(32)
        self.bundle = f"/run/bundles/{self.id}"
        self.log = self.bundle + "/output"
        self.terminal: Terminal | None = None
        self.files("").mkdir(parents=True)
        self._layer(image)
        self.write(self._spec(terminal=terminal))
        if terminal:
            self.terminal = Terminal(self.files("terminal"))

    # Its parts

    def files(self, inside: str) -> Path:
        return self.node.path(self.bundle) / inside

    @property
    def layer(self) -> Path:
        """The container's root file system without its mounts; it exists longer than the container's processes."""
        return self.files("rootfs")

    def _layer(self, image: RootFS) -> None:
        for each in ("upper", "work", "rootfs"):
            self.files(each).mkdir()
        layers = f"lowerdir=/lab/{image.name},upperdir={self.bundle}/upper,workdir={self.bundle}/work"
        self.node.run("mount", "-t", "overlay", "-o", layers, "overlay", f"{self.bundle}/rootfs")

    def add_units(self) -> None:
        """Put the lab's units into the image and enable them, as `systemctl enable` would."""
        system = self.layer / "etc/systemd/system"
        for unit in UNITS.iterdir():
            (system / unit.name).write_text(text := unit.read_text())
            for target in (line.partition("=")[2] for line in text.splitlines() if line.startswith("WantedBy=")):
                wants = system / f"{target}.wants"
                wants.mkdir(exist_ok=True)
                (wants / unit.name).symlink_to(f"../{unit.name}")

    def _spec(self, *, terminal: bool) -> Spec:
        """`runc spec`, with what Kubernetes gives a container that asks for nothing."""
        self.node.run("runc", "spec", "--bundle", self.bundle)
        spec: Spec = json.loads(self.config)
        spec["process"] |= {"args": ["/sbin/init"], "terminal": terminal, "noNewPrivileges": False}
        granted = [f"CAP_{name}" for name in CAPABILITIES]
        spec["process"]["capabilities"] = dict.fromkeys(("bounding", "effective", "permitted"), granted)
        spec["root"]["readonly"] = False
        spec["linux"]["namespaces"] = [*({"type": t} for t in ("pid", "network", "ipc", "uts", "mount", "cgroup"))]
        spec["linux"]["cgroupsPath"] = f"/{self.id}"
        return spec

    @property
    def config(self) -> bytes:
        return self.files("config.json").read_bytes()

    @property
    def spec(self) -> Spec:
        spec: Spec = json.loads(self.config)
        return spec

    def write(self, spec: Spec) -> None:
        self.files("config.json").write_text(json.dumps(spec, indent="\t"))

    def edit(self, change: Callable[[Spec], None]) -> None:
        change(spec := self.spec)
        self.write(spec)

    # What an engine does with it

    def call(
        self, *words: str, check: bool = True, env: Mapping[str, str] | None = None
    ) -> subprocess.CompletedProcess[str]:
        return self.node.run(self.node.launcher, *words, check=check, env=env)

    def _bundle_options(self) -> list[str]:
        socket = ["--console-socket", f"{self.bundle}/terminal"] if self.terminal else []
        return ["--bundle", self.bundle, *socket, self.id]

    def _detached(self, *words: str) -> None:
        quiet()
        # The container's own processes keep these streams: a file, so that nobody waits for them.
        with self.node.path(self.log).open("ab") as output:
            done = self.node.run(self.node.launcher, *words, *self._bundle_options(), check=False, output=output)
        if done.returncode:
            raise RuntimeError(f"{words} ended with {done.returncode}: {self.said}")

    def create(self) -> None:
        self._detached("create")

    def start(self) -> None:
        self.call("start", self.id)

    def create_and_start(self) -> None:
        self.create()
        self.start()

    def run(self) -> None:
        self._detached("run", "--detach")

    def run_attached(self) -> subprocess.CompletedProcess[str]:
        """`run`, until the container has ended."""
        return self.call("run", *self._bundle_options(), check=False)

    def exec(self, *words: str) -> subprocess.CompletedProcess[str]:
        return self.call("exec", self.id, *words, check=False)

    def output(self, *words: str) -> str:
        return self.exec(*words).stdout.strip()

    @property
    def state(self) -> dict[str, Any]:
        done = self.call("state", self.id, check=False)
        state: dict[str, Any] = json.loads(done.stdout) if done.returncode == 0 else {"status": "gone", "pid": 0}
        return state

    @property
    def said(self) -> str:
        written = self.node.path(self.log)
        return (written.read_text(errors="replace") if written.exists() else "") + (
            self.terminal.said.decode(errors="replace") if self.terminal else ""
        )

    # Its state, read from outside

    @property
    def proc(self) -> Path:
        """/proc of its PID 1, as the node sees it."""
        return self.node.path(f"/proc/{self.state['pid']}")

    def system_state(self, limit: float = 20) -> str:
        """What `systemctl is-system-running` says once it is neither starting nor out of reach; `stopped` if it has died."""
        waiting = ("", "offline", "unknown", "initializing", "starting")
        return until(self._system_state, lambda said: said not in waiting, limit)

    def _system_state(self) -> str:
        said = self.output("systemctl", "is-system-running")
        return "stopped" if not said and self.state["status"] == "stopped" else said

    def time_to_stop(self, *kill: str, limit: float = 20) -> float:
        """Seconds from the engine's kill until the runtime says it has stopped; LIMIT if it never does."""
        begin = time.monotonic()
        self.call("kill", self.id, *kill)
        # Each question to the runtime is five processes, which would take from the container the processor that it stops on.
        until(self._process_state(), lambda state: state in "ZX", limit, pause=0.005)
        until(lambda: str(self.state["status"]), lambda status: status in ("stopped", "gone"), limit)
        return time.monotonic() - begin

    def _process_state(self) -> Callable[[], str]:
        """Return what asks for the state of its PID 1, a letter of proc_pid_stat(5); X if there is none."""
        stat = self.node.path(f"/proc/{self.state['pid']}/stat")

        def state() -> str:
            try:
                return stat.read_text().rpartition(") ")[2][0]
            except OSError:
                return "X"

        return state

    def close(self) -> None:
        self.call("delete", "--force", self.id, check=False)
        if self.terminal:
            self.terminal.close()
        self.node.run("umount", "--lazy", f"{self.bundle}/rootfs", check=False)
        self.node.run("rm", "-rf", "--one-file-system", self.bundle, check=False)


def quiet() -> None:
    """Have nothing left to write. systemd syncs every disk of the machine before it goes, and what others wrote is not its time."""
    os.sync()


def until(ask: Callable[[], str], enough: Callable[[str], bool], limit: float, pause: float = 0.02) -> str:
    """Ask until the answer is enough or LIMIT seconds are over, with PAUSE seconds between; the last answer."""
    end = time.monotonic() + limit
    while not enough(answer := ask()) and time.monotonic() < end:
        time.sleep(pause)
    return answer
