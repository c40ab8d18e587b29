"""docs/oom.md: what ends where a pod of a kubelet is out of memory. Needs root and QEMU; twenty minutes."""

from __future__ import annotations

from collections.abc import Iterator

from tests.machine.lab import engines
from tests.machine.lab.hogs import TIMES, Small, small
from tests.machine.lab.life import until
from tests.machine.lab.machine import Machine
from tests.machine.lab.pods import EXITED, Kubelet
from tests.measure.lab import SYSTEMD
from tests.measure.rows import head, row

NAMES = ("systemd", "runtime", "services", "beside journald", "beside PID 1", "by exec", "a tmpfs filled")


def table() -> Iterator[str]:
    with Machine() as machine:
        engines.set_up(machine)
        kubelet = Kubelet(machine)
        yield from head(*NAMES)
        for version, image in SYSTEMD.items():
            for runtime, handler in engines.WRAPPERS.items():
                yield row(version, runtime, *measured(kubelet, handler, image))


def measured(kubelet: Kubelet, handler: str, image: str) -> list[str]:
    """One row: how each hog ended; the last ones may end all."""
    with small(kubelet, handler, image) as pod:
        ends = pod.hogs()
        cells = [f"{ends.count('oom-kill')} of {TIMES} oom-kill"]
        cells.append(", journald ".join(pod.beside("systemd-journald.service", "system.slice")))
        cells.append(", init.scope ".join(pod.beside("init.scope")))
    with small(kubelet, handler, image) as pod:
        cells.append(f"exit {pod.by_exec()}, pod {state(kubelet, pod)}")
    with small(kubelet, handler, image) as pod:
        pod.fill()
        return [*cells, f"pod {state(kubelet, pod)}"]


def state(kubelet: Kubelet, pod: Small) -> str:
    """Whether the pod runs some seconds later."""
    until(lambda: str(pod.guest.state()), str(EXITED).__eq__, 10)
    status = kubelet.cri.status(pod.guest.id)
    return f"{status.reason} {status.exit_code}" if status.state == EXITED else "runs"
