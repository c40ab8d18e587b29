"""Find the program that an engine calls as the runtime of a running container, from files and processes of the engine.

Law: unknown is None, never a guess. Sources: containerd 1.7 to 2.3 (cmd/containerd-shim-runc-v2/runc/container.go,
WriteRuntime), conmon 2.1 (src/cli.c), Docker (moby, libcontainerd: containerd's shim).
"""

from __future__ import annotations

from itertools import pairwise
from pathlib import PurePosixPath
from typing import TYPE_CHECKING

from oci_systemd.core.errors import Problem
from oci_systemd.host import process
from oci_systemd.host.files import read_regular

if TYPE_CHECKING:
    from oci_systemd.host.containers import State

SHIM_FILE = "runtime"  # in the bundle: the handler's BinaryName, empty for the shim's default
SHIM_DEFAULT = "runc"
LIMIT = 4096
MONITOR, MONITOR_OPTIONS = "conmon", ("-r", "--runtime")


def program(state: State) -> str | None:
    """Return the path or name of the runtime that the container's engine calls, None if unknown."""
    return _of_shim(state.bundle) or _of_monitor(state.pid)


def _of_shim(bundle: str) -> str | None:
    if not bundle:
        return None
    try:
        named = read_regular(f"{bundle}/{SHIM_FILE}", LIMIT)[0]
    except Problem:
        return None
    return named.decode(errors="replace").strip() or SHIM_DEFAULT


def _of_monitor(pid: int) -> str | None:
    """podman and CRI-O: conmon starts the container's first process, and has the runtime on its command line."""
    try:
        parent = int(process.text(f"/proc/{pid}/stat").rpartition(")")[2].split()[1])
        words = process.text(f"/proc/{parent}/cmdline").split("\0")
    except (OSError, ValueError, IndexError):
        return None
    if PurePosixPath(words[0]).name != MONITOR:
        return None
    return next((value for option, value in pairwise(words) if option in MONITOR_OPTIONS), None)
