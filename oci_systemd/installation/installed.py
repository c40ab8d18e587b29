"""Where the launcher is: beside this package, as `make install` puts both, or where it usually is."""

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
    """Full paths where the launcher may be, the likeliest first; of a self-contained tree its only one."""
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
    """What an engine is to call: its `path` in the root, and the runtime that its text names. `usual` is the runtime behind it
    where nobody names one; `shell` runs stubs of it; `hooks` is the folder beside it, "" where there is none."""

    path: str
    runtime: str
    usual: str
    shell: str
    hooks: str


def way(tree: Tree) -> Way:
    """How this is installed, by where this package lies and whose lists have it."""
    if versions.own():
        return Way(*["run the installer's pod, or oci-systemd install ENGINE from the self-contained tree"] * 2)
    if Path(oci_systemd.__file__).is_relative_to("/usr/lib/oci-systemd"):
        if tree.exists("/var/lib/dpkg/info/oci-systemd.list"):
            return Way("apt-get install oci-systemd", "apt-get install --reinstall oci-systemd")
        if not (Path(oci_systemd.__file__).parents[1] / "files").exists():  # the list of `make install`
            return Way("dnf install oci-systemd", "dnf reinstall oci-systemd")
    return Way()


def stubs(tree: Tree, launcher: str) -> str:
    """The folder for stubs of `launcher`: beside it, or STUBS where the file system there is read-only (an image-based system)."""
    beside = posixpath.dirname(launcher)
    return STUBS if tree.is_read_only(beside) else beside


def launcher(tree: Tree, given: str) -> Launcher:
    """The launcher of this version, where we run from a self-contained tree; else the one given, that beside this package, or the
    usual one."""
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
        raise Problem(f"there is no {NAME}{where} under {tree.root}: `make install` puts it there, --launcher names it")
    hooks = clean(f"{found}/../../{HOOKS}")
    return Launcher(found, runtime, runtime, "/bin/sh", hooks if tree.exists(hooks) else "")
