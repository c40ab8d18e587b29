"""A container's root file system, looked at from outside. It is hostile: its links may point anywhere.

Law: every step opens one name below a directory that is already open, and never follows a link: a link's text is read and
walked from the root again. Nothing outside is reached, whatever the links say and whoever changes them meanwhile.
"""

from __future__ import annotations

import posix
from _stat import S_ISREG

from oci_systemd.core.host import ABSENT, BLANK, CONTENT, ELF, Root
from oci_systemd.core.paths import MAX_LINKS, MAX_PARTS, clean

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable

PATH = posix.O_PATH | posix.O_NOFOLLOW | posix.O_CLOEXEC
FOLDER = PATH | posix.O_DIRECTORY
HEAD = 64  # bytes: more than any machine-id file has


def survey(root: str, paths: Iterable[str], files: Iterable[str]) -> Root | None:
    """The links on the way to each of `paths` and `files`, and what each of `files` is. None where `root` is no directory."""
    try:
        walk = _Walk(posix.open(root, posix.O_PATH | posix.O_DIRECTORY | posix.O_CLOEXEC))
    except (OSError, ValueError):  # ValueError: a NUL, or a lone surrogate, which no file's name holds
        return None
    try:
        for path in paths:
            walk.to(path)
        return Root(walk.links, {place: walk.kind(place) for place in map(walk.to, files)})
    finally:
        walk.close()


class _Walk:
    """`folders`: a descriptor of each directory met, by its place; None where that place is no directory."""

    def __init__(self, root: int) -> None:
        self.folders: dict[str, int | None] = {"/": root}
        self.links: dict[str, str] = {}

    def close(self) -> None:
        for fd in self.folders.values():
            if fd is not None:
                posix.close(fd)

    def to(self, path: str) -> str:
        """The place that `path` leads to; the links met are noted."""
        todo = clean(path).split("/")[:0:-1]
        at, followed, parts = "/", 0, 0
        while todo:
            part = todo.pop()
            if part in ("", "."):
                continue
            parent = at
            at = (at[: at.rfind("/")] or "/") if part == ".." else (at + part if at == "/" else f"{at}/{part}")
            target = None if part == ".." else self._target(parent, at, part)
            if target is not None and followed < MAX_LINKS and parts <= MAX_PARTS:
                followed += 1
                at = "/" if target.startswith("/") else parent
                more = target.split("/")[::-1]
                parts += len(more)
                todo += more
        return at

    def _target(self, parent: str, place: str, name: str) -> str | None:
        """The text of the link at `place`, None if it is none. A directory there is opened and kept."""
        if place in self.links:
            return self.links[place]
        fd = self.folders.get(parent)
        if place in self.folders or fd is None:
            return None
        try:
            self.folders[place] = posix.open(name, FOLDER, dir_fd=fd)
            return None
        except (OSError, ValueError):
            self.folders[place] = None
        try:
            self.links[place] = posix.readlink(name, dir_fd=fd)
        except (OSError, ValueError):
            return None
        return self.links[place]

    def kind(self, place: str) -> str:
        """What stands at `place`, which no link leads away from."""
        parent, _, name = place.rpartition("/")
        folder = self.folders.get(parent or "/")
        if folder is None or not name:
            return ABSENT
        try:
            fd = posix.open(name, PATH, dir_fd=folder)
        except (OSError, ValueError):
            return ABSENT
        try:
            return _kind(_head(fd)) if S_ISREG(posix.fstat(fd).st_mode) else ABSENT
        finally:
            posix.close(fd)


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
