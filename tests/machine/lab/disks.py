"""The machine's two disks: its own file system, made of Debian packages and nothing else, and its engines' stores.

Law: a disk in the cache is complete, and a key beside it names its contents; no machine writes to it.
"""

import shutil
import subprocess
from collections.abc import Callable, Iterable
from hashlib import sha256
from pathlib import Path

from tests.e2e.lab.node import Node
from tests.e2e.lab.rootfs import CACHE, LabError, RootFS, clear, locked, prepare
from tests.e2e.lab.silence import noise
from tests.machine.lab import archives

MACHINE = RootFS(
    "machine",
    "trixie",
    tuple(
        """linux-image-cloud-amd64 initramfs-tools systemd systemd-sysv udev dbus dbus-user-session libpam-systemd
        openssh-server iproute2 iptables nftables apparmor procps python3 make jq busybox-static
        containerd docker.io docker-cli podman runc crun criu libcriu2 fuse-overlayfs uidmap passt""".split()
    ),
)
SIZE = "12G"  # of both: a sparse file
ARCHIVES = CACHE / ".archives"
STORES = Path(__file__).with_name("stores.sh")
RECIPES = (Path(__file__), Path(archives.__file__), STORES)


def disks() -> tuple[Path, Path]:
    """Have both in the cache."""
    images = {each.tree for each in archives.ARCHIVES.values()}
    prepare({MACHINE, *images})
    with locked(MACHINE.name):
        own = made("machine.ext4", [MACHINE], lambda disk: format_disk(disk, MACHINE.path))
        return own, made("stores.ext4", [MACHINE, *images], write_stores)


def made(name: str, trees: Iterable[RootFS], make: Callable[[Path], None]) -> Path:
    target, beside, key = CACHE / name, CACHE / f".{name}.new", CACHE / f"{name}.key"
    wanted = identity(trees)
    if not target.exists() or not key.exists() or key.read_text() != wanted:
        key.unlink(missing_ok=True)
        beside.unlink(missing_ok=True)
        with noise():
            make(beside)
        beside.rename(target)
        key.write_text(wanted)
    return target


def identity(trees: Iterable[RootFS]) -> str:
    """Return what tells a disk from one of other trees, or made another way: the recipes, and when each tree was made."""
    recipes = sha256(b"".join(each.read_bytes() for each in RECIPES)).hexdigest()
    return "\n".join([recipes, *sorted(f"{each.name} {each.marker.stat().st_mtime_ns}" for each in trees), ""])


def format_disk(disk: Path, tree: Path) -> None:
    if not shutil.which("mke2fs", path="/usr/sbin:/sbin"):
        raise LabError("mke2fs is missing: apt-get install e2fsprogs")
    # The kernel initialises later what is left out here.
    command = ["/sbin/mke2fs", "-q", "-t", "ext4", "-E", "lazy_itable_init=1,lazy_journal_init=1", "-d"]
    done = subprocess.run([*command, str(tree), str(disk), SIZE], capture_output=True, text=True)
    if done.returncode:
        raise LabError(f"mke2fs could not make '{disk}': {done.stderr}")


def write_stores(disk: Path) -> None:
    """Let the machine's own engines load their images here and now, on a processor that is not emulated: twenty times as fast."""
    clear(ARCHIVES)
    ARCHIVES.mkdir()
    try:
        for name in archives.ARCHIVES:
            archives.write_archive(ARCHIVES, name)
        with Node(MACHINE) as node:
            node.run("bash", "-ec", STORES.read_text(), "stores.sh", f"/lab/{ARCHIVES.name}", *archives.ARCHIVES)
            format_disk(disk, node.path("/stores"))
    finally:
        clear(ARCHIVES)
