"""Install the self-contained tree on a node: versions side by side, one of them current (packaging/bundle builds them).

    HOME/versions/V     a version, never changed
    HOME/current        a link to the current one, replaced by one rename
    HOME/bin/PROGRAM    links through `current` for the engines' configuration; beside them, stubs for other runtimes

Law: at every moment each name leads to a complete version, the old one or the new one, and a version is removed when no process
uses it. Names of incomplete versions start with a dot; the next call removes leftovers.
"""

from __future__ import annotations

import os
import posixpath
import shutil
import time
from contextlib import contextmanager, suppress
from pathlib import Path
from stat import S_IMODE
from typing import TYPE_CHECKING, NamedTuple

import oci_systemd
from oci_systemd.core.errors import Problem
from oci_systemd.core.paths import is_at_or_below
from oci_systemd.host import in_use
from oci_systemd.host.files import flush, flush_folder

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

    from oci_systemd.host.tree import Tree

LINKED = ("oci-systemd", "oci-systemd-runtime", "sh")  # sh: the shell of stubs, since the host may have none
PATIENCE, PAUSE = 1.0, 0.02  # seconds to wait for starting calls, and between two checks
MADE = "made"  # the directories above HOME that were made for it


class Version(NamedTuple):
    """A version's home and name; `source` is its present directory."""

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
    """Return the version that this process runs from; None if the package is installed in another way."""
    package = Path(oci_systemd.__file__).parent
    match package.parts:
        case *home, "versions", name, "lib", "oci-systemd", _:
            return Version(str(Path(*home)), name, package.parents[2])
    return None


def deploy(version: Version, tree: Tree) -> list[str]:
    """Install `version` in `tree` and make it current. Return what was done, in words; empty if up to date."""
    with _alone(tree, f"{version.inside}: cannot install"):
        return [*_copy(version, tree), *_links(version, tree)]


def prune(version: Version, tree: Tree, bundles: Iterable[str]) -> list[str]:
    """Remove the versions that no name, process or container uses. `bundles`: as in `in_use`."""
    with _alone(tree, f"{version.home}: cannot remove old versions"):
        versions = tree.outside(f"{version.home}/versions")
        sweep(versions)
        others = {each.name for each in versions.iterdir()} - {version.name, _current(version, tree)}
        gone = sorted(others - _called(version.home, others, tree, bundles)) if others else []
        for name in gone:
            _discard(versions / name)
    return [f"removed {version.home}/versions/{name}" for name in gone]


def remove(
    version: Version, tree: Tree, bundles: Iterable[str], named: Callable[[], Iterable[str]] = tuple
) -> list[str]:
    """Remove everything that `deploy` installed in `tree`, unless a program that is still `named` is in it. Raise a Problem if a
    process still uses it."""
    with _alone(tree, f"{version.home}: cannot remove"):
        home = tree.outside(version.home)
        if not home.is_dir() or any(is_at_or_below(each, version.home) for each in named()):
            return []
        for word in _words(tree, bundles):
            if is_at_or_below(word, version.home):
                raise Problem(f"{version.home}: in use: {word} still runs; try again when it has ended")
        _remove(home, tree)
    return [f"removed {version.home}"]


@contextmanager
def _alone(tree: Tree, what: str) -> Iterator[None]:
    """Lock out other oci-systemd processes; an OSError becomes a Problem: `what`, and why."""
    try:
        with tree.alone():
            yield
    except OSError as error:
        why = f"{error.filename}: {error.strerror}" if error.strerror else error
        raise Problem(f"{what} below {tree.root}: {why}") from None


# In


def _copy(version: Version, tree: Tree) -> list[str]:
    target = tree.outside(version.inside)
    if target.is_dir():
        return []
    _make_home(version.home, tree)
    sweep(target.parent)
    beside = target.with_name(f".{version.name}.new")
    try:
        _copy_folder(version.source, beside)
        for folder, _, names in os.walk(beside):  # before the rename
            for name in names:
                if not Path(folder, name).is_symlink():
                    flush(f"{folder}/{name}")
            flush_folder(folder)
        beside.rename(target)
    except BaseException:
        _clear(beside)
        raise
    flush_folder(str(target.parent))
    return [f"copied {version.inside}"]


def _make_home(home: str, tree: Tree) -> None:
    """Make the directories, and record the new ones above `home`: `remove` removes them too."""
    made = [str(each) for each in Path(home).parents if not tree.exists(str(each))]
    tree.outside(f"{home}/versions").mkdir(parents=True, exist_ok=True)
    if made:
        tree.outside(f"{home}/{MADE}").write_text("".join(f"{folder}\n" for folder in made))


def _copy_folder(source: Path, target: Path) -> None:
    """Copy a directory with modes and times, without extended attributes: an image's SELinux labels are not the host's."""
    target.mkdir()
    for each in source.iterdir():
        copy = target / each.name
        if each.is_symlink():
            copy.symlink_to(each.readlink())
        elif each.is_dir():
            _copy_folder(each, copy)
        else:
            shutil.copyfile(each, copy)
            _copy_status(each, copy)
    _copy_status(source, target)


def _copy_status(source: Path, target: Path) -> None:
    status = source.stat()
    target.chmod(S_IMODE(status.st_mode))
    os.utime(target, ns=(status.st_atime_ns, status.st_mtime_ns))


def _links(version: Version, tree: Tree) -> list[str]:
    home = tree.outside(version.home)
    links = {"current": f"versions/{version.name}", **{f"bin/{each}": f"../current/bin/{each}" for each in LINKED}}
    return [f"wrote {version.home}/{name}" for name, target in links.items() if link(home / name, target)]


def link(place: Path, target: str) -> bool:
    """Make a link to `target` at `place` by one rename. Return whether that changed anything."""
    with suppress(OSError):
        if str(place.readlink()) == target:
            return False
    place.parent.mkdir(exist_ok=True)
    beside = place.with_name(f".{place.name}.new")
    beside.unlink(missing_ok=True)
    beside.symlink_to(target)
    beside.rename(place)
    return True


# Out


def _current(version: Version, tree: Tree) -> str:
    """Return the name of the current version, which another oci-systemd may have changed."""
    with suppress(OSError):
        return (tree.outside(version.home) / "current").readlink().name
    return ""


def _called(home: str, names: set[str], tree: Tree, bundles: Iterable[str]) -> set[str]:
    """Return the versions in `names` that a process of the tree runs from, or that a container's shim calls.

    A call that has just started does not show its version on its command line yet; wait for it.
    """
    deadline = time.monotonic() + PATIENCE
    commands = in_use.commands(tree)
    waiting = _starting(commands)
    while waiting:
        if time.monotonic() > deadline:
            return names
        time.sleep(PAUSE)
        commands = in_use.commands(tree)
        waiting &= _starting(commands)
    words = {*in_use.programs(tree, bundles), *(word for command in commands.values() for word in command)}
    return {name for name in names if any(is_at_or_below(word, f"{home}/versions/{name}") for word in words)}


def _starting(commands: Mapping[str, Sequence[str]]) -> set[str]:
    """Return the PIDs of processes that run a launcher of one of our programs, under any name."""
    return {pid for pid, command in commands.items() if any(_is_launcher(word) for word in command[:2])}


def _is_launcher(word: str) -> bool:
    """Return whether a word names one of our programs, or a stub of the wrapper."""
    name = posixpath.basename(word)
    return name == "oci-systemd" or name.partition(".")[0] == "oci-systemd-runtime"


def _words(tree: Tree, bundles: Iterable[str]) -> Iterator[str]:
    """Yield the programs that shims call, and every word on the command lines of the tree's processes."""
    yield from in_use.programs(tree, bundles)
    for command in in_use.commands(tree).values():
        yield from command


def _remove(home: Path, tree: Tree) -> None:
    """Remove `home`, each version as a whole, and then the empty directories above it that were made for it."""
    if (home / "versions").is_dir():
        for version in (home / "versions").iterdir():
            _discard(version)
    note = home / MADE
    made = note.read_text().splitlines() if note.is_file() else []
    for each in home.iterdir():
        if each != note:
            _clear(each)
    _clear(home)
    for folder in made:
        with suppress(OSError):  # not empty: another program uses it
            tree.outside(folder).rmdir()


def _discard(version: Path) -> None:
    """Remove a version: first its name, then its files."""
    beside = version.with_name(f".{version.name.lstrip('.')}.old")
    _clear(beside)
    version.rename(beside)
    _clear(beside)


def sweep(versions: Path) -> None:
    """Remove incomplete versions of killed processes."""
    for each in versions.iterdir():
        if each.name.startswith("."):
            _clear(each)


def _clear(place: Path) -> None:
    if place.is_dir() and not place.is_symlink():
        shutil.rmtree(place)
    else:
        place.unlink(missing_ok=True)
