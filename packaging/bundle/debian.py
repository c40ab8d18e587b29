"""Unpack Debian's packages for any architecture, without configuring them: none of their programs is run here.

Law: what lies in the cache is whole. It is used again as long as the wanted packages are the same.
"""

from __future__ import annotations

import platform
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

SUITE = "trixie"
PACKAGES = ("python3.13-minimal", "libpython3.13-stdlib", "busybox-static", "libc6", "libgcc-s1")
ARCHITECTURES = {"x86_64": "amd64", "aarch64": "arm64"}  # as the kernel calls them, and as Debian does
LOADERS = {"amd64": "ld-linux-x86-64.so.2", "arm64": "ld-linux-aarch64.so.1"}
FOLDERS = {"amd64": "x86_64-linux-gnu", "arm64": "aarch64-linux-gnu"}


class Base(NamedTuple):
    """The packages of one architecture, unpacked below `root`, and their archives `debs`."""

    arch: str
    root: Path
    debs: list[Path]

    @property
    def libraries(self) -> Path:
        return self.root / "usr/lib" / FOLDERS[self.arch]

    @property
    def loader(self) -> Path:
        return self.libraries / LOADERS[self.arch]


def native() -> str:
    """Return this machine's architecture."""
    return ARCHITECTURES[platform.machine()]


def extracted(arch: str, out: Path) -> Base:
    """Return PACKAGES and their dependencies, for `arch`."""
    root, marker = out / f".base-{arch}", out / f".base-{arch}.packages"
    wanted = " ".join((SUITE, *PACKAGES))
    if not marker.exists() or marker.read_text() != wanted:
        out.mkdir(parents=True, exist_ok=True)
        shutil.rmtree(root, ignore_errors=True)
        _extract(arch, root)
        marker.write_text(wanted)
    return Base(arch, root, sorted(root.glob("var/cache/apt/archives/*.deb")))


def _extract(arch: str, root: Path) -> None:
    options = ["--quiet", "--variant=extract", f"--arch={arch}", "--skip=cleanup/apt,download/empty"]
    options += [f"--include={','.join(PACKAGES)}"]
    done = subprocess.run(["mmdebstrap", *options, SUITE, str(root), *_mirror()], stderr=subprocess.PIPE, text=True)
    if done.returncode:
        sys.exit(f"packages of {SUITE} for {arch}: cannot unpack:\n{done.stderr}")


def _mirror() -> list[str]:
    """Return this machine's mirror if it is a Debian mirror."""
    if platform.freedesktop_os_release()["ID"] != "debian":
        return []
    for file in (Path("/etc/apt/sources.list"), *sorted(Path("/etc/apt/sources.list.d").glob("*"))):
        found = (
            re.search(r"(?m)^(?:URIs:|deb(?: \[.*\])?)\s+(\S*/debian/?)(?:\s|$)", file.read_text())
            if file.is_file()
            else None
        )
        if found:
            return [found[1]]
    return []
