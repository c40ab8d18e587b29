"""A whole machine that goes down with a container of each engine on it: what their services wrote, and how long it took."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack, suppress
from dataclasses import dataclass
from typing import NamedTuple

from grpc import RpcError

from tests.machine.lab import marks
from tests.machine.lab.cli import Cli
from tests.machine.lab.engines import HOOKS, RUNTIMES, WRAPPERS
from tests.machine.lab.life import Guest, booted
from tests.machine.lab.machine import Machine
from tests.machine.lab.pods import Kubelet, Rights

IMAGE = "debian-13"
STOP = "stop-signal"
PODMAN = ["--network=none", "--systemd=false"]  # podman's own mode names the signal itself
# Seconds that Docker and podman give, instead of 10: an emulated processor is slow. Less than the 90 of docker.service.
PATIENCE = 80
LIMIT = 300


class Engines(NamedTuple):
    """A machine's engines; their containers have the annotations `stop`, and a place for their marks."""

    machine: Machine
    kubelet: Kubelet
    stop: str = ""

    def pod(self, name: str, handler: str) -> AbstractContextManager[Guest]:
        rights = Rights(volumes={marks.PLACE: f"{marks.MARKS}/{name}"})
        return self.kubelet.pod(handler, IMAGE, rights=rights, **({STOP: self.stop} if self.stop else {}))

    def docker(self, name: str, runtime: str) -> AbstractContextManager[Guest]:
        return self._cli("docker", [], ["--runtime", runtime], name)

    def podman(self, name: str, *options: str) -> AbstractContextManager[Guest]:
        return self._cli("podman", options, PODMAN, name)

    def _cli(self, cli: str, options: Sequence[str], run: Sequence[str], name: str) -> AbstractContextManager[Guest]:
        own = [f"--volume={marks.MARKS}/{name}:{marks.PLACE}", f"--stop-timeout={PATIENCE}"]
        own += [f"--annotation=io.systemd.container.{STOP}={self.stop}"] if self.stop else []
        return Cli(self.machine, cli, options, run).container(IMAGE, options=own)


CASES: Mapping[str, Callable[[Engines, str], AbstractContextManager[Guest]]] = {
    "containerd-runc": lambda engines, name: engines.pod(name, WRAPPERS["runc"]),
    "containerd-crun": lambda engines, name: engines.pod(name, WRAPPERS["crun"]),
    "docker-runc": lambda engines, name: engines.docker(name, WRAPPERS["runc"]),
    "docker-crun": lambda engines, name: engines.docker(name, WRAPPERS["crun"]),
    "podman-runc": lambda engines, name: engines.podman(name, "--runtime", WRAPPERS["runc"]),
    "podman-crun": lambda engines, name: engines.podman(name, "--runtime", WRAPPERS["crun"]),
    "podman-hook": lambda engines, name: engines.podman(name, "--runtime", RUNTIMES["crun"], "--hooks-dir", HOOKS),
}


# The lab's pause is a `sleep`, which as a first process ignores SIGTERM; a real one does not, and keeps no machine for 90 s.
END_PAUSES = """for scope in $(systemctl list-units --plain --no-legend 'cri-containerd-*.scope' | cut -d' ' -f1); do
    place=/sys/fs/cgroup$(systemctl show -P ControlGroup "$scope")
    cat "$place/cgroup.procs" | while read -r pid; do
        [ "$(tr '\\0' ' ' </proc/$pid/cmdline)" != "/bin/sleep 1000000 " ] || kill -KILL "$pid"
    done
done"""


@dataclass(frozen=True)
class Shutdown:
    """When it began and when all was stopped, in seconds of the machine's; the words of each container's services, by case and
    service; and the end of what the machine said."""

    began: float
    down: float
    said: Mapping[tuple[str, str], str]
    console: str

    @property
    def seconds(self) -> float:
        return self.down - self.began

    def complete(self, case: str) -> bool:
        """Return whether the case's ExecStop came to its end."""
        return len(self.said.get((case, "mark"), "").split()) == 2

    def seconds_of(self, case: str) -> float:
        """The time from the reboot to the end of the case's ExecStop, in seconds."""
        return float(self.said[case, "mark"].split()[1]) - self.began


def reboot(engines: Engines, cases: Iterable[str]) -> Shutdown:
    """Start a container of each case, and have the machine reboot under them."""
    machine = engines.machine
    machine.write(marks.LAST, marks.LAST_TEXT)
    machine.run("chmod", "755", marks.LAST)
    with ExitStack() as running:
        for case in cases:
            machine.script(marks.prepare(case))
            guest = running.enter_context(CASES[case](engines, case))
            assert booted(guest) == "running"
            marks.begin(guest)
        machine.script(END_PAUSES)
        began = float(machine.output("cut", "-d ", "-f1", "/proc/uptime"))
        said = machine.reboot(LIMIT)
        with suppress(RpcError):  # they went with their machine
            running.close()
    lines = re.findall(r"mark: ([\w-]+)/(\w+) ([^\r\n]*)", said)
    down = re.search(r"down: ([\d.]+)", said)
    assert down, said
    return Shutdown(began, float(down[1]), {(case, name): words.strip() for case, name, words in lines}, said)
