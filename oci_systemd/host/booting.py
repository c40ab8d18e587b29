"""Note each container whose systemd is about to boot: the launcher holds an `exec` back until its controllers are enabled.

A process that enters the container's own cgroup before that keeps systemd from enabling them, and units start without their
limits (cgroup-v2.rst, "No Internal Process Constraint"). PLACE/ID is the path of the cgroup. The first `exec` removes the file, and
the `create` of a later container removes those that are OLD.
"""

from __future__ import annotations

import posix
import time

from oci_systemd.core.cgroups import made
from oci_systemd.host.files import write_all

FOLDER = "/run/oci-systemd"
PLACE = f"{FOLDER}/booting"
CGROUP = "/sys/fs/cgroup"
OLD = 60.0  # seconds
NEW = posix.O_WRONLY | posix.O_CREAT | posix.O_TRUNC | posix.O_NOFOLLOW | posix.O_CLOEXEC


def note(id: str, cgroups_path: str, *, systemd: bool) -> None:
    """Note the container `id` with this linux.cgroupsPath, which boots at its start; `systemd` is the runtime's cgroup driver.

    Nothing is noted if the cgroup depends on the runtime, or PLACE is not writable (rootless): its `exec` is not held back.
    """
    cgroup = made(cgroups_path, systemd=systemd)
    if not cgroup or not id or "/" in id or id.startswith("."):
        return
    try:
        _make(FOLDER)
        _make(PLACE)
        _sweep(time.time() - OLD)
        fd = posix.open(f"{PLACE}/{id}", NEW, 0o600)
        try:
            write_all(fd, f"{CGROUP}{cgroup}\n".encode(errors="surrogateescape"))
        finally:
            posix.close(fd)
    except (OSError, ValueError):
        return


def _make(folder: str) -> None:
    try:
        posix.mkdir(folder, 0o755)
    except FileExistsError:
        return


def _sweep(before: float) -> None:
    """Remove the files of containers that were created before this time, in seconds since the epoch."""
    for name in posix.listdir(PLACE):
        path = f"{PLACE}/{name}"
        try:
            if posix.stat(path, follow_symlinks=False).st_mtime < before:
                posix.unlink(path)
        except FileNotFoundError:  # an `exec` or another `create` was faster
            continue
