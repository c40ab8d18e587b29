"""Which containers call a program of ours for everything that is still to be done to them, stopping them for one.

Law: it is read off what engines leave for themselves: containerd's shim writes the runtime's name into the bundle (file
`runtime`), conmon of podman and CRI-O, or conmonrs, has it on its command line.
"""

from __future__ import annotations

import os
from contextlib import suppress
from typing import TYPE_CHECKING

from oci_systemd.core.errors import Problem
from oci_systemd.host.files import read_regular

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator
    from pathlib import Path

    from oci_systemd.host.tree import Tree

LIMIT = 4096  # bytes of a path
CMDLINE = 1 << 22  # bytes of a command line, more than the kernel takes (ARG_MAX)
# How a monitor is told the container, conmonrs the folder of a pod's sandbox, and the runtime.
MONITORS = {"conmon": ("-c", "-r"), "conmonrs": ("--runtime-dir", "--runtime")}
DOCKER = ("moby", "plugins.moby")  # its namespaces in containerd


def containers(tree: Tree, engine: str, programs: Collection[str], bundles: Iterable[str]) -> list[str]:
    """The IDs of `engine`'s containers that call one of `programs`. `bundles`: patterns of the shims' bundles."""
    monitored = engine in ("podman", "crio")
    found = _conmon(tree, engine) if monitored else _tasks(tree, bundles, docker=engine == "docker")
    return sorted(id for id, program in found if program in programs)


def programs(tree: Tree, bundles: Iterable[str]) -> set[str]:
    """Every program that a shim calls; `bundles` as above."""
    return {program for docker in (False, True) for _, program in _tasks(tree, bundles, docker=docker)}


def commands(tree: Tree) -> dict[str, list[str]]:
    """The command line of each of the tree's own processes, by its PID."""
    found = {}
    for process, command in _processes(tree, CMDLINE):
        with suppress(Problem):  # it has ended
            if _is_outside_of_containers(process):
                found[process.name] = command
    return found


def _is_outside_of_containers(process: Path) -> bool:
    """Whether a process is in the PID namespace of its /proc, and in none below: what it was started from lies in the tree then.
    Anybody may read that, whatever capabilities the process has (proc(5), NSpid)."""
    status = read_regular(str(process / "status"), CMDLINE)[0]
    line = next((line for line in status.splitlines() if line.startswith(b"NSpid:")), b"")
    return len(line.split()) == 2


def _tasks(tree: Tree, bundles: Iterable[str], *, docker: bool) -> Iterator[tuple[str, str]]:
    """Each container of containerd, or of Docker by way of it, with the program that its shim calls."""
    for pattern in bundles:
        state, _, below = pattern.partition("/io.")
        for file in tree.outside(state).glob(f"io.{below}/runtime"):
            if (file.parts[-3] in DOCKER) == docker:
                with suppress(Problem, UnicodeDecodeError):
                    yield file.parts[-2], read_regular(str(file), LIMIT)[0].decode().strip()


def _conmon(tree: Tree, engine: str) -> Iterator[tuple[str, str]]:
    """Each container of podman or CRI-O, with the program that its conmon calls."""
    for _, command in _processes(tree, LIMIT):
        with suppress(ValueError, LookupError):
            container, runtime = MONITORS[command[0].rpartition("/")[2]]
            if any(word.endswith("/podman") for word in command) == (engine == "podman"):
                id = command[command.index(container) + 1].removesuffix("/userdata").rpartition("/")[2]
                yield id, command[command.index(runtime) + 1]


def _processes(tree: Tree, limit: int) -> Iterator[tuple[Path, list[str]]]:
    """Each process of the tree whose command line has at most `limit` bytes: its folder in /proc, and that line. A Problem where
    others' processes are hidden; where there is no process at all, nothing runs in the tree."""
    there = tree.outside("/proc")
    files = [*there.glob("[0-9]*/cmdline")]
    if files and not os.access(there / "1/status", os.R_OK):
        raise Problem(
            f"the processes below {tree.root} cannot be seen, and may use what is to go: its /proc is mounted with hidepid; "
            "mount it without (mount -o remount,hidepid=0 /proc)"
        )
    for file in files:
        with suppress(Problem):
            yield file.parent, [os.fsdecode(word) for word in read_regular(str(file), limit)[0].split(b"\0")]
