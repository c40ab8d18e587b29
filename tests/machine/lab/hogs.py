"""Processes that take more memory than their pod may have, as services of its systemd and elsewhere, and what becomes of them."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from tests.machine.lab.life import booted
from tests.machine.lab.pods import Kubelet, PodGuest, Rights

TIMES = 10
MEMORY = 128 << 20
# What a kubelet sets on every container, unless its singleProcessOOMKill is true (kubelet, calculateLinuxResources).
KUBELETS = {"memory.oom.group": "1"}
HOG = "exec dd if=/dev/zero of=/dev/null bs=1G count=1"
SERVICES = """for n in $(seq "$1"); do
    systemd-run --quiet --wait --unit="hog$n" sh -c "$2" 2>/dev/null
    systemctl show -P Result "hog$n.service"
done"""
# A hog that goes into the cgroup of the unit $1, and then what systemd says of that unit.
BESIDE = """systemd-run --quiet --wait --unit="beside-${1%.*}" sh -c "echo 0 >/sys/fs/cgroup/$2/$1/cgroup.procs; $3" 2>/dev/null
sleep 5
systemctl show -P Result "beside-${1%.*}.service"
systemctl show -P ActiveState "$1" """
FILL = "systemd-run --quiet --wait dd if=/dev/zero of=/tmp/fill bs=1M count=300"


@dataclass
class Small:
    """A booted pod of little memory. Its hogs are asked for from outside its cgroup, so that none of them is the one who asks."""

    guest: PodGuest

    def run(self, text: str, *words: str) -> list[str]:
        """What a shell script in its namespaces prints; nothing where its first process ended meanwhile."""
        command = ["nsenter", "--all", f"--target={self.guest.pid()}", "sh", "-c", text, "sh", *words]
        return self.guest.machine.run(*command, check=False, limit=400).stdout.split()

    def group(self) -> str:
        return " ".join(self.run("cat /sys/fs/cgroup/memory.oom.group"))

    def hogs(self, times: int = TIMES) -> list[str]:
        """How as many services ended, one after another."""
        return self.run(SERVICES, str(times), HOG)

    def beside(self, unit: str, slice: str = ".") -> list[str]:
        """How a hog in another unit's cgroup ended, and the state of that unit some seconds later."""
        return self.run(BESIDE, unit, slice, HOG)

    def by_exec(self) -> int:
        """The exit status of a hog that the engine started, as `kubectl exec` does."""
        return self.guest.run("sh", "-c", HOG).returncode

    def fill(self) -> None:
        """Write more into a tmpfs than the pod may have."""
        self.run(FILL)


@contextmanager
def small(kubelet: Kubelet, handler: str, image: str) -> Iterator[Small]:
    with kubelet.pod(handler, image, rights=Rights(memory=MEMORY, unified=KUBELETS)) as guest:
        state = booted(guest)
        assert state == "running", state
        yield Small(guest)
