"""docs/limits.md: what a systemd container and its shim take of a node's limits. Needs root and QEMU; four minutes.

Law: the emulated node's cgroups have all controllers: a shim watches memory.events only if it exists.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from tests.machine.lab import engines
from tests.machine.lab.life import booted
from tests.machine.lab.machine import Machine
from tests.machine.lab.pods import Kubelet
from tests.measure.lab import SYSTEMD
from tests.measure.rows import head, row

COUNTER = Path(__file__).with_name("taken.py")
ROOT = "0"


def counted(machine: Machine, *words: str) -> dict[str, Any]:
    """What taken.py prints on the node."""
    found: dict[str, Any] = json.loads(machine.run("python3", "-", *words, given=COUNTER.read_text()).stdout)
    return found


def others(of: Mapping[str, int]) -> int:
    """Of the user besides root who takes most."""
    return max((count for user, count in of.items() if user != ROOT), default=0)


def figures(kubelet: Kubelet, image: str) -> dict[str, str]:
    before = counted(kubelet.machine)["keys"]
    with kubelet.pod(engines.WRAPPERS["runc"], image) as guest:
        assert booted(guest) == "running"
        found = counted(kubelet.machine, str(guest.pid()))
    own, shim = found["own"], found["shim"]
    keys = {user: count - before.get(user, 0) for user, count in found["keys"].items()}
    return {
        "`fs.inotify.max_user_instances`, root's": f"{own['instances'].get(ROOT, 0)} + {shim['instances'].get(ROOT, 0)}",
        "the same, any other user's": str(others(own["instances"])),
        "`fs.inotify.max_user_watches`, root's": f"{own['watches'].get(ROOT, 0)} + {shim['watches'].get(ROOT, 0)}",
        "`kernel.pid_max`, `kernel.threads-max`": f"{own['tasks']} + {shim['tasks']}",
        "`fs.file-max`": f"{own['files']} + {shim['files']}",
        "`kernel.keys.root_maxkeys`": str(keys.get(ROOT, 0)),
        "`kernel.keys.maxkeys`, any other user's": str(others(keys)),
    }


def table() -> Iterator[str]:
    with Machine() as machine:
        engines.set_up(machine)
        yield from rows(Kubelet(machine))


def rows(kubelet: Kubelet) -> Iterator[str]:
    found = {version: figures(kubelet, image) for version, image in SYSTEMD.items()}
    yield from head("limit", *(f"systemd {version}" for version in found))
    for name in found["252"]:
        yield row(name, *(each[name] for each in found.values()))
