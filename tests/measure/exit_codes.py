"""docs/exit-codes.md: the exit code that each engine sees when a machine in a container ends. Needs root and QEMU; ten minutes.

runc and containerd's CRI with each systemd of the lab; Docker and podman with Debian 13's, the rows that are depended on.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

from tests.e2e.lab.container import Container
from tests.e2e.lab.containerd import Containerd
from tests.e2e.lab.ends import DEPENDED_ON, ENDS, GOES_ON, End, end_pod, ended
from tests.e2e.lab.images import name
from tests.e2e.lab.node import Node
from tests.e2e.lab.pods import INIT, Case, begin
from tests.machine.lab import engines
from tests.machine.lab.cli import by_wrapper
from tests.machine.lab.ends import end_guest
from tests.machine.lab.life import booted
from tests.machine.lab.machine import Machine
from tests.measure.lab import SYSTEMD, containerd, image, node, same
from tests.measure.rows import head, row

CLIS = ("docker", "podman")


def table() -> Iterator[str]:
    yield from head("how it ends", "runc", "`kubectl get pod`", "`docker wait`", "`podman wait`")
    with node() as where:
        runc = {each: by_runc(where, end) for each, end in ENDS.items()}
    with containerd() as engine:
        cri = {each: by_cri(engine, end) for each, end in ENDS.items()}
    with Machine() as machine:
        engines.set_up(machine)
        for each, end in ENDS.items():
            tried = CLIS if each in DEPENDED_ON else ()
            clis = [by_cli(machine, cli, end) for cli in tried] or [""] * len(CLIS)
            yield row(each, runc[each], cri[each], *clis)


def shown(code: int | None) -> str:
    return GOES_ON if code is None else str(code)


def by_versions(measure: Callable[[str], int | None]) -> str:
    """One cell: the values measured with each systemd, side by side."""
    with ThreadPoolExecutor() as pool:
        return same(dict(zip(SYSTEMD, map(shown, pool.map(measure, SYSTEMD)), strict=True)))


def by_runc(node: Node, end: End) -> str:
    """The exit status of `runc run`, which waits for the container."""
    return by_versions(lambda version: _run(node, version, end))


def _run(node: Node, version: str, end: End) -> int | None:
    with Container(node, image(version)) as container, ThreadPoolExecutor(1) as pool:
        run = pool.submit(container.run_attached)
        assert container.system_state() == "running"
        if end.stop:
            container.call("kill", container.id, "TERM")
        elif end.signal:
            node.run("kill", f"-{end.signal}", str(container.state["pid"]))
        else:
            container.exec("sh", "-c", end.command)
        over = ended(run.done, end)
        container.call("kill", container.id, "KILL", check=False)
        return run.result().returncode if over else None


def by_cri(engine: Containerd, end: End) -> str:
    """The exit code in a pod's status."""
    return by_versions(lambda version: _pod(engine, SYSTEMD[version], end))


def _pod(engine: Containerd, image: str, end: End) -> int | None:
    guest = begin(engine, f"end-{image}", Case(replace(INIT, image=name(image))))
    with guest.where:
        assert guest.system_state() == "running"
        return end_pod(guest, end)


def by_cli(machine: Machine, name: str, end: End) -> str:
    """What `docker wait` or `podman wait` prints."""
    with by_wrapper(machine, name).container("debian-13") as guest:
        assert booted(guest) == "running"
        return shown(end_guest(guest, end))
