"""The self-contained tree on a node: whole versions side by side, one of which is called (packaging/bundle makes them).

    HOME/versions/V     a version, never changed
    HOME/current        a link to the one that is called, replaced by one rename
    HOME/bin/PROGRAM    links through `current`: what engines name; stubs for other runtimes lie beside them

Law: at every moment each name leads to a whole version, the old one or the new one, and a version goes when nothing calls it.
"""

from __future__ import annotations

import os
import shutil
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import oci_systemd
from oci_systemd.core.errors import Problem
from oci_systemd.host import in_use

if TYPE_CHECKING:
    from collections.abc import Iterable

    from oci_systemd.host.tree import Tree

LINKED = ("oci-systemd", "oci-systemd-runtime", "sh")  # sh: what stubs are run by, where the host may have none
MADE = "made"  # the folders above HOME that came with it


class Version(NamedTuple):
    """A version by its name, and the home that it belongs into; `source` is where it lies now."""

    home: str
    name: str
    source: Path

    @property
    def inside(self) -> str:
        return f"{self.home}/versions/{self.name}"

    @property
    def launcher(self) -> str:
        return f"{self.home}/bin/oci-systemd-runtime"


def own() -> Version | None:
    """The version that this process runs from; None where the package is installed in another way."""
    package = Path(oci_systemd.__file__).parent
    match package.parts:
        case *home, "versions", name, "lib", "oci-systemd", _:
            return Version(str(Path(*home)), name, package.parents[2])
    return None


def deploy(version: Version, tree: Tree) -> list[str]:
    """Have `version` in `tree`, and called there. What was done, in words; nothing where it is so already."""
    try:
        with tree.alone():
            return [*_copy(version, tree), *_links(version, tree)]
    except OSError as error:
        raise Problem(f"{version.inside} cannot be put below {tree.root}: {_why(error)}") from None


def prune(version: Version, tree: Tree, bundles: Iterable[str]) -> list[str]:
    """Remove the other versions, but those that a process or a container still calls. `bundles`: as in `in_use`."""
    versions = tree.outside(f"{version.home}/versions")
    others = {each.name for each in versions.iterdir() if each.name != version.name}
    gone = sorted(others - _called(tree, f"{version.home}/versions/", bundles)) if others else []
    for name in gone:
        _clear(versions / name)
    return [f"removed {version.home}/versions/{name}" for name in gone]


def remove(version: Version, tree: Tree, bundles: Iterable[str]) -> list[str]:
    """Take away all that `deploy` has put into `tree`, but versions that are still called."""
    home = tree.outside(version.home)
    if not home.is_dir():
        return []
    called = _called(tree, f"{version.home}/versions/", bundles)
    if called:
        raise Problem(
            f"{version.home} stays: something still runs from {', '.join(sorted(called))}; try again once it is gone"
        )
    made = (home / MADE).read_text().splitlines() if (home / MADE).is_file() else []
    _clear(home)
    for folder in made:
        with suppress(OSError):  # somebody else has put something there
            tree.outside(folder).rmdir()
    return [f"removed {version.home}"]


def _copy(version: Version, tree: Tree) -> list[str]:
    target = tree.outside(version.inside)
    if target.is_dir():
        return []
    made = [str(each) for each in Path(version.home).parents if not tree.exists(str(each))]
    beside = target.with_name(f".{version.name}.new")
    _clear(beside)  # what one of us that was killed has left
    beside.parent.mkdir(parents=True, exist_ok=True)
    try:
        shutil.copytree(version.source, beside, symlinks=True)
        os.sync()  # before it has its name
        beside.rename(target)
    except BaseException:
        _clear(beside)
        raise
    if made:
        tree.outside(f"{version.home}/{MADE}").write_text("".join(f"{folder}\n" for folder in made))
    return [f"copied {version.inside}"]


def _links(version: Version, tree: Tree) -> list[str]:
    home = tree.outside(version.home)
    links = {"current": f"versions/{version.name}", **{f"bin/{each}": f"../current/bin/{each}" for each in LINKED}}
    return [f"wrote {version.home}/{name}" for name, target in links.items() if _link(home / name, target)]


def _why(error: OSError) -> str:
    """The first of what went wrong: of many files copytree tells all."""
    return str(error.args[0][0][2]) if isinstance(error, shutil.Error) else f"{error.filename}: {error.strerror}"


def _link(place: Path, target: str) -> bool:
    """Have a link to `target` at `place`, by one rename; whether that changed anything."""
    with suppress(OSError):
        if str(place.readlink()) == target:
            return False
    place.parent.mkdir(exist_ok=True)
    beside = place.with_name(f".{place.name}.new")
    beside.unlink(missing_ok=True)
    beside.symlink_to(target)
    beside.rename(place)
    return True


def _called(tree: Tree, versions: str, bundles: Iterable[str]) -> set[str]:
    """The versions that a process of the tree runs from, or a container's monitor calls."""
    paths = (word for word in in_use.words(tree, bundles) if word.startswith(versions))
    return {path.removeprefix(versions).partition("/")[0] for path in paths}


def _clear(folder: Path) -> None:
    if folder.exists():
        shutil.rmtree(folder)
