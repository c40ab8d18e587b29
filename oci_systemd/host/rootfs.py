"""Read a container's root file system from outside. It is not trusted: its links may point anywhere.

Law: every step opens one name below an open directory, and never follows a link: the link's text is read, and followed from the
root. Nothing outside is reached, even if links change at the same time.
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
KEPT = 64  # open descriptors: the limit may be low
MOST = 1 << 16  # components of links for one container: an image may lead each of 10,000 mounts through 250 links
HEAD = 64  # bytes: more than in any machine-id file


def survey(root: str, paths: Iterable[str], files: Iterable[str]) -> Root | None:
    """Return the links on the way to each of `paths` and `files`, and the kind of each of `files`. None if `root` is not a
    directory. With more than MOST components of links, the Root is `lost` and has no links.

    Raise a Problem without descriptors or memory: a file that cannot be read must not count as absent.
    """
    try:
        live = _LiveLinks(posix.open(root, posix.O_PATH | posix.O_DIRECTORY | posix.O_CLOEXEC))
    except (OSError, ValueError):  # ValueError: a NUL or a lone surrogate, which no file name has
        return None
    try:
        for path in paths:
            follow(path, live)
        return Root(live.links, {place: live.kind(place) for place in (follow(path, live) for path in files)})
    except _TooManyError:
        return Root({}, {}, lost=MOST)
    except OSError as error:
        raise Problem(f"root file system {root!r}: cannot read: {error.strerror}") from None
    finally:
        live.close()


class _TooManyError(Exception):
    """The links have more than MOST components."""


class _LiveLinks:
    """The links of a root file system, read when `follow` looks them up.

    `folders`: places known to be directories. `opened`: descriptors of some of them, to open names below.
    """

    def __init__(self, root: int) -> None:
        self.links: dict[str, str] = {}
        self.folders = {"/"}
        self.opened = {"/": root}
        self.asked: set[str] = set()
        self.followed = 0  # components of links

    def close(self) -> None:
        for fd in self.opened.values():
            posix.close(fd)

    def get(self, place: str) -> str | None:
        """Return the text of the link at `place`, whose parents are not links; None if it is not a link."""
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
        """Return a descriptor of the directory at `place`, opened from the nearest open directory."""
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
        """Return the kind of the file at `place`, which `follow` has returned."""
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
    """Raise `error` again if it is about this machine's resources, not about the file."""
    if isinstance(error, OSError) and error.errno in SHORTAGES:
        raise error


def _head(fd: int) -> bytes:
    """Return the first bytes of the regular file behind an O_PATH descriptor."""
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
