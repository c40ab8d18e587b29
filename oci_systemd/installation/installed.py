"""Find the launcher: beside this package, as `make install` installs both, or in the usual places."""

from __future__ import annotations

import posixpath
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import oci_systemd
from oci_systemd.core.errors import Problem
from oci_systemd.core.paths import clean
from oci_systemd.engines.launcher import NAME, runtime_of
from oci_systemd.host import versions
from oci_systemd.installation.checks import Way

if TYPE_CHECKING:
    from oci_systemd.host.tree import Tree

HOOKS = "share/oci-systemd/hooks.d"
STUBS = "/var/lib/oci-systemd/bin"
USUAL = ("/usr/local/bin", "/usr/bin", "/opt/oci-systemd/bin")


def launchers() -> list[str]:
    """Return absolute paths where the launcher may be, the most likely first; only one for a self-contained tree."""
    own = versions.own()
    if own:
        return [own.launcher]
    match Path(oci_systemd.__file__).parent.parts:
        case *prefix, "lib", "oci-systemd", "versions", _, _:
            beside = [str(Path(*prefix, "bin"))]
        case _:
            beside = []
    return [f"{folder}/{NAME}" for folder in dict.fromkeys((*beside, *USUAL))]


class Launcher(NamedTuple):
    """The program that an engine calls: its `path` in the root, and the real runtime in its text. `usual` is the default runtime;
    `shell` runs its stubs; `hooks` is the directory of hooks beside it, "" if there is none."""

    path: str
    runtime: str
    usual: str
    shell: str
    hooks: str


def way(tree: Tree) -> Way:
    """Return how this package is installed, by its directory and the lists of the package managers."""
    if versions.own():
        return Way(*["run the installer's pod, or oci-systemd install ENGINE from the self-contained tree"] * 2)
    if Path(oci_systemd.__file__).is_relative_to("/usr/lib/oci-systemd"):
        if tree.exists("/var/lib/dpkg/info/oci-systemd.list"):
            return Way("apt-get install oci-systemd", "apt-get install --reinstall oci-systemd")
        if not (Path(oci_systemd.__file__).parents[1] / "files").exists():  # the list of `make install`
            return Way("dnf install oci-systemd", "dnf reinstall oci-systemd")
    return Way()


def stubs(tree: Tree, launcher: str) -> str:
    """Return the directory for stubs of `launcher`: beside it, or STUBS if that file system is read-only (an image-based
    system)."""
    beside = posixpath.dirname(launcher)
    return STUBS if tree.is_read_only(beside) else beside


def launcher(tree: Tree, given: str) -> Launcher:
    """Return the launcher of this version in a self-contained tree; else the given one, the one beside this package, or one in the
    usual places."""
    version = versions.own()
    if version and not given:
        hooks = f"{version.home}/current/{HOOKS}" if (version.source / HOOKS).is_dir() else ""
        text = (version.source / "bin" / NAME).read_text()
        return Launcher(version.launcher, runtime_of(text), "runc", f"{version.home}/bin/sh", hooks)
    found = next((place for place in ([given] if given else launchers()) if tree.is_program(place)), "")
    runtime = ""
    with suppress(Problem):
        runtime = runtime_of(tree.read(found) or "") if found else ""
    if not runtime:
        where = f" at {given}" if given else ""
        raise Problem(f"{NAME}: not found{where} under {tree.root}; run `make install`, or pass --launcher PATH")
    hooks = clean(f"{found}/../../{HOOKS}")
    return Launcher(found, runtime, runtime, "/bin/sh", hooks if tree.exists(hooks) else "")
