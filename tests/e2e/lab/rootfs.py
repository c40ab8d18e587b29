"""Root file systems for the lab: images to boot and nodes to boot them on, made once and kept in a cache.

Law: every tree in the cache is complete. It is built beside its place and renamed, and a marker lists its contents.
"""

import fcntl
import os
import platform
import re
import shutil
import subprocess
import sys
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.e2e.lab.silence import noise

CACHE = Path(os.environ.get("OCI_SYSTEMD_LAB", "/var/cache/oci-systemd-lab"))

SYSTEMD = ("systemd", "systemd-sysv", "dbus", "procps")
NODE = ("runc", "crun", "containerd", "podman", "python3", "make", "jq", "procps", "busybox-static", "tini")
DOCKER = ("docker.io", "docker-cli")


class LabError(Exception):
    """The lab cannot be set up: a sentence for people."""


@dataclass(frozen=True)
class RootFS:
    """One root file system: a name in the cache, a suite of Debian, and the packages it needs."""

    name: str
    suite: str
    include: tuple[str, ...]

    @property
    def path(self) -> Path:
        return CACHE / self.name

    @property
    def marker(self) -> Path:
        return CACHE / f"{self.name}.packages"


IMAGES = {
    "debian-12": RootFS("image-12", "bookworm", SYSTEMD),
    "debian-13": RootFS("image-13", "trixie", SYSTEMD),
    "forky": RootFS("image-forky", "forky", SYSTEMD),
}
NODES = {
    "runc-1.1": RootFS("node-trixie", "trixie", NODE + DOCKER),
    "runc-1.3": RootFS("node-forky", "forky", NODE),
}


def prepare(wanted: Iterable[RootFS]) -> None:
    """Have all of WANTED in the cache; those missing are built side by side."""
    CACHE.mkdir(parents=True, exist_ok=True)
    with ThreadPoolExecutor(max_workers=os.cpu_count()) as pool:
        for _ in pool.map(ensure, wanted):
            pass


def ensure(rootfs: RootFS) -> None:
    with locked(rootfs.name):
        if not complete(rootfs):
            with noise():
                build(rootfs)


def complete(rootfs: RootFS) -> bool:
    return rootfs.marker.exists() and set(rootfs.include) <= set(rootfs.marker.read_text().split())


def build(rootfs: RootFS) -> None:
    beside = CACHE / f".{rootfs.name}.new"
    clear(beside)
    bootstrap(rootfs, beside)
    rootfs.marker.unlink(missing_ok=True)
    clear(rootfs.path)
    beside.rename(rootfs.path)
    rootfs.marker.write_text("\n".join(rootfs.include) + "\n")


def bootstrap(rootfs: RootFS, target: Path) -> None:
    if not shutil.which("mmdebstrap"):
        raise LabError("mmdebstrap is missing: apt-get install mmdebstrap")
    # A suite under development may have an expired Release file on a mirror that stands still.
    command = ["mmdebstrap", "--quiet", "--variant=minbase", '--aptopt=Acquire::Check-Valid-Until "false"']
    command += [f"--include={','.join(rootfs.include)}", rootfs.suite, str(target), *mirror()]
    done = subprocess.run(command, env=os.environ | {"TMPDIR": str(CACHE)}, stderr=subprocess.PIPE, text=True)
    if done.returncode:
        raise LabError(f"mmdebstrap could not make '{rootfs.name}':\n{done.stderr.strip()}")


def mirror() -> list[str]:
    """The mirror this machine itself uses, where it is a Debian one; else mmdebstrap's own default for the suite."""
    if platform.freedesktop_os_release()["ID"] != "debian":
        return []
    sources = [Path("/etc/apt/sources.list"), *sorted(Path("/etc/apt/sources.list.d").glob("*"))]
    found = (
        re.search(r"(?m)^(?:URIs:|deb(?: \[.*\])?)\s+(\S*/debian/?)(?:\s|$)", s.read_text())
        for s in sources
        if s.is_file()
    )
    return [match[1] for match in found if match][:1]


def clear(tree: Path) -> None:
    if tree.exists():
        shutil.rmtree(tree)


@contextmanager
def locked(name: str) -> Iterator[None]:
    """Two test runs at once build a tree only once."""
    with open(CACHE / f".{name}.lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


if __name__ == "__main__":
    try:
        prepare([*IMAGES.values(), *NODES.values()])
    except LabError as error:
        sys.exit(str(error))
