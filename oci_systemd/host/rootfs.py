"""A container's root file system, looked at from outside. It is hostile: its links may point anywhere.

Law: every step opens one name below a directory that is already open, and never follows a link: a link's text is read and
walked from the root again. Nothing outside is reached, whatever the links say and whoever changes them meanwhile.
"""

from __future__ import annotations

import posix
from _stat import S_ISREG

from oci_systemd.core.errors import Problem
from oci_systemd.core.host import ABSENT, BLANK, CONTENT, ELF, Root
from oci_systemd.core.paths import LOST, follow
from oci_systemd.host.files import SHORTAGES

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable

PATH = posix.O_PATH | posix.O_NOFOLLOW | posix.O_CLOEXEC
FOLDER = PATH | posix.O_DIRECTORY
KEPT = 64  # descriptors at once: limits may be low
MOST = (
    1 << 16
)  # parts of links that are followed for one container: an image may send each of 10,000 mounts through 250 links
HEAD = 64  # bytes: more than any machine-id file has


def survey(root: str, paths: Iterable[str], files: Iterable[str]) -> Root | None:
    """The links on the way to each of `paths` and `files`, and what each of `files` is. None if `root` is not a
    directory. With more than MOST parts of links, the Root is `lost` and has no links.

    A Problem where there are no descriptors or no memory for it: what is not seen must not count as not there.
    """
    try:
        live = _LiveLinks(posix.open(root, posix.O_PATH | posix.O_DIRECTORY | posix.O_CLOEXEC))
    except (OSError, ValueError):  # ValueError: a NUL, or a lone surrogate, which no file's name holds
        return None
    try:
        for path in paths:
            follow(path, live)
        return Root(live.links, {place: live.kind(place) for place in (follow(path, live) for path in files)})
    except _TooManyError:
        return Root({}, {}, lost=MOST)
    except OSError as error:
        raise Problem(f"the root file system {root!r} cannot be looked at: {error.strerror}") from None
    finally:
        live.close()


class _TooManyError(Exception):
    """More parts of links than MOST."""


class _LiveLinks:
    """The links of a root file system, read as they are asked for, for `follow` to walk.

    `folders` are the places known to be directories; of some a descriptor is kept in `opened`, by which the next is reached.
    """

    def __init__(self, root: int) -> None:
        self.links: dict[str, str] = {}
        self.folders = {"/"}
        self.opened = {"/": root}
        self.asked: set[str] = set()
        self.followed = 0  # parts of links

    def close(self) -> None:
        for fd in self.opened.values():
            posix.close(fd)

    def get(self, place: str) -> str | None:
        """The text of the link at `place`, whose parents are no links; None where there is no link."""
        if place not in self.asked:
            self.asked.add(place)
            parent, _, name = place.rpartition("/")
            if (parent or "/") in self.folders:
                self._look(self._folder(parent or "/"), place, name)
        target = self.links.get(place)
        if target is not None:
            self.followed += 1 + target.count("/")
            if self.followed > MOST:
                raise _TooManyError
        return target

    def _look(self, parent: int, place: str, name: str) -> None:
        try:
            self.opened[place] = posix.open(name, FOLDER, dir_fd=parent)
            self.folders.add(place)
            return
        except (OSError, ValueError) as error:
            _raise_shortage(error)
        try:
            self.links[place] = posix.readlink(name, dir_fd=parent)
        except (OSError, ValueError) as error:
            _raise_shortage(error)

    def _folder(self, place: str) -> int:
        """A descriptor of the directory at `place`, by way of the nearest one that is kept."""
        if len(self.opened) > KEPT:
            for fd in [self.opened.pop(kept) for kept in list(self.opened) if kept != "/"]:
                posix.close(fd)
        names = []
        while place not in self.opened:
            place, _, name = place.rpartition("/")
            place = place or "/"
            names.append(name)
        fd = self.opened[place]
        for name in reversed(names):
            place = f"{place if place != '/' else ''}/{name}"
            fd = self.opened[place] = posix.open(name, FOLDER, dir_fd=fd)
        return fd

    def kind(self, place: str) -> str:
        """What stands at `place`, where `follow` has been."""
        parent, _, name = place.rpartition("/")
        if (parent or "/") not in self.folders or not name or place == LOST:
            return ABSENT
        try:
            fd = posix.open(name, PATH, dir_fd=self._folder(parent or "/"))
        except (OSError, ValueError) as error:
            _raise_shortage(error)
            return ABSENT
        try:
            return _kind(_head(fd)) if S_ISREG(posix.fstat(fd).st_mode) else ABSENT
        finally:
            posix.close(fd)


def _raise_shortage(error: Exception) -> None:
    """Raise `error` where it speaks of this machine's means, not of the file."""
    if isinstance(error, OSError) and error.errno in SHORTAGES:
        raise error


def _head(fd: int) -> bytes:
    """The first bytes of the regular file behind an O_PATH descriptor."""
    try:
        file = posix.open(f"/proc/self/fd/{fd}", posix.O_RDONLY | posix.O_CLOEXEC | posix.O_NONBLOCK)
    except OSError:
        return b"?"
    try:
        return posix.read(file, HEAD)
    except OSError:
        return b"?"
    finally:
        posix.close(file)


def _kind(head: bytes) -> str:
    if head.startswith(b"\x7fELF"):
        return ELF
    return BLANK if head.strip() in (b"", b"uninitialized") else CONTENT
