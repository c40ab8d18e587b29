"""Find containers that still call one of our programs, for example to be stopped.

Law: only the engines' own records count: containerd's shim writes the runtime's name into the bundle (file `runtime`); conmon of
podman and CRI-O, and conmonrs, have it on their command line.
"""

from __future__ import annotations

import json
import os
from contextlib import suppress
from typing import TYPE_CHECKING, NamedTuple

from oci_systemd.core.container import identity
from oci_systemd.core.errors import Problem
from oci_systemd.host.files import read_regular

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator
    from pathlib import Path

    from oci_systemd.host.tree import Tree

LIMIT = 4096  # bytes of a path
CONFIG = 16 << 20  # bytes of a config.json
CMDLINE = 1 << 22  # bytes of a command line, more than the kernel takes (ARG_MAX)
# Options for the container (conmonrs: the directory of the pod's sandbox) and for the runtime.
MONITORS = {"conmon": ("-c", "-r"), "conmonrs": ("--runtime-dir", "--runtime")}
BUNDLE = "-b"  # of conmon alone: the directory of the container's config.json
DOCKER = ("moby", "plugins.moby")  # Docker's namespaces in containerd


class User(NamedTuple):
    """A container that calls `program`, and the path of its config.json, None if unknown."""

    id: str
    program: str
    config: Path | None


class Users(NamedTuple):
    """The callers of a program: `pods` by namespace and name, and the IDs of `containers` outside pods."""

    pods: list[str]
    containers: list[str]


def users(tree: Tree, engine: str, programs: Collection[str], bundles: Iterable[str]) -> Users:
    """Return the containers of `engine` that call one of `programs`. `bundles`: patterns of the shims' bundles."""
    monitored = engine in ("podman", "crio")
    found = _conmon(tree, engine) if monitored else _tasks(tree, bundles, docker=engine == "docker")
    pods = {user.id: _pod(user.config) for user in found if user.program in programs}
    return Users(sorted({pod for pod in pods.values() if pod}), sorted(id for id, pod in pods.items() if not pod))


def _pod(config: Path | None) -> str:
    """`namespace/name` of the pod that a container or its sandbox is of; "" where it is of none."""
    with suppress(Problem, ValueError, AttributeError, TypeError):
        if config:
            annotations = json.loads(read_regular(str(config), CONFIG)[0]).get("annotations") or {}
            _, _, name, namespace = identity(annotations)
            return f"{namespace}/{name}" if namespace and name else ""
    return ""


def programs(tree: Tree, bundles: Iterable[str]) -> set[str]:
    """Return every program that a shim calls; `bundles` as above."""
    return {user.program for docker in (False, True) for user in _tasks(tree, bundles, docker=docker)}


def commands(tree: Tree) -> dict[str, list[str]]:
    """Return the command lines of the tree's own processes, by PID."""
    found = {}
    for process, command in _processes(tree, CMDLINE):
        with suppress(Problem):  # it has ended
            if _is_outside_of_containers(process):
                found[process.name] = command
    return found


def _is_outside_of_containers(process: Path) -> bool:
    """Return whether a process is in the PID namespace of its /proc, not in a nested one: its program is then in the tree. Every
    user may read this, whatever capabilities the process has (proc(5), NSpid)."""
    status = read_regular(str(process / "status"), CMDLINE)[0]
    line = next((line for line in status.splitlines() if line.startswith(b"NSpid:")), b"")
    return len(line.split()) == 2


def _tasks(tree: Tree, bundles: Iterable[str], *, docker: bool) -> Iterator[User]:
    """Yield each container of containerd, or of Docker through containerd."""
    for pattern in bundles:
        state, _, below = pattern.partition("/io.")
        for file in tree.outside(state).glob(f"io.{below}/runtime"):
            if (file.parts[-3] in DOCKER) == docker:
                with suppress(Problem, UnicodeDecodeError):
                    program = read_regular(str(file), LIMIT)[0].decode().strip()
                    yield User(file.parts[-2], program, file.with_name("config.json"))


def _conmon(tree: Tree, engine: str) -> Iterator[User]:
    """Yield each container of podman or CRI-O, with the program that its conmon calls."""
    for _, command in _processes(tree, LIMIT):
        with suppress(ValueError, LookupError):
            container, runtime = MONITORS[command[0].rpartition("/")[2]]
            if any(word.endswith("/podman") for word in command) == (engine == "podman"):
                id = command[command.index(container) + 1].removesuffix("/userdata").rpartition("/")[2]
                bundle = command[command.index(BUNDLE) + 1] if BUNDLE in command else ""
                config = tree.outside(f"{bundle}/config.json") if bundle else None
                yield User(id, command[command.index(runtime) + 1], config)


def _processes(tree: Tree, limit: int) -> Iterator[tuple[Path, list[str]]]:
    """Yield each process of the tree whose command line has at most `limit` bytes: its directory in /proc, and the command line.
    Raise a Problem if processes of others are hidden. No process at all means that nothing runs in the tree."""
    there = tree.outside("/proc")
    files = [*there.glob("[0-9]*/cmdline")]
    if files and not os.access(there / "1/status", os.R_OK):
        raise Problem(
            f"{there}: mounted with hidepid, which hides processes that may still use the files; "
            "remount it (mount -o remount,hidepid=0 /proc)"
        )
    for file in files:
        with suppress(Problem):
            yield file.parent, [os.fsdecode(word) for word in read_regular(str(file), limit)[0].split(b"\0")]
