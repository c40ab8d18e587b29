"""Configuration files of this machine, or of another root file system: read, and changed all together or not at all.

Law: a path is resolved inside the root, whatever its links say; for a file that is a link, its target is changed. All new files
are complete beside the old ones before the first one replaces its old file. If one cannot, the others are restored.
"""

from __future__ import annotations

import fcntl
import fnmatch
import os
import posixpath
import stat
import time
from contextlib import contextmanager, suppress
from glob import has_magic
from pathlib import Path
from typing import TYPE_CHECKING

from oci_systemd.core.errors import Problem
from oci_systemd.core.paths import LOST, clean, follow
from oci_systemd.host.files import flush_folder, read_regular, write_all

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence
    from typing import Protocol

    class Change(Protocol):
        """The old and new text of one file; None if it does not exist. `mode` is for a new file."""

        @property
        def path(self) -> str: ...
        @property
        def old(self) -> str | None: ...
        @property
        def new(self) -> str | None: ...
        @property
        def mode(self) -> int: ...


LIMIT = 16 << 20  # bytes of a configuration file
# Suffixes beside a file while it is changed. Engines read *.toml or *.conf in a directory; CRI-O reads all files, but only when
# it starts.
NEW, OLD = LEFT = "oci-systemd-new", "oci-systemd-old"
LOCK = "/run/oci-systemd/lock"
PAUSE = 0.1  # seconds between two tries for the lock


class Tree:
    """The files below `root`; paths are relative to it, with a leading slash."""

    def __init__(self, root: str = "/") -> None:
        if not Path(root).is_dir():
            raise Problem(f"root {root!r}: not a directory")
        self.root = Path(root).resolve()

    @property
    def is_this_machine(self) -> bool:
        return self.root == Path("/")

    def outside(self, path: str) -> Path:
        """Return the path of `path` for this process, with links followed inside the root."""
        place = follow(clean(path), self)
        if place == LOST:
            raise Problem(f"{path}: too many symbolic links")
        return self._below(place)

    def _below(self, place: str) -> Path:
        return self.root / place.lstrip("/")

    def get(self, place: str) -> str | None:
        """Return the text of the link at `place`, for `follow`."""
        with suppress(OSError):
            return str(self._below(place).readlink())
        return None

    # Reading

    def exists(self, path: str) -> bool:
        return os.path.lexists(self.outside(path))

    def read(self, path: str) -> str | None:
        """Return the text of the file at `path`; None if it does not exist. Raise a Problem if it cannot be read."""
        outside = self.outside(path)
        try:
            outside.lstat()
        except (FileNotFoundError, NotADirectoryError):
            return None
        except OSError as error:  # the directory is not readable
            raise Problem(f"{path}: cannot read: {error.strerror}") from None
        try:
            return read_regular(str(outside), LIMIT)[0].decode()
        except UnicodeDecodeError as error:
            raise Problem(f"{path}: not UTF-8 at byte {error.start}; correct the file, which is unchanged") from None

    def glob(self, pattern: str) -> list[str]:
        """Return the files whose paths match `pattern`, sorted."""
        return sorted(path for path in self._matching(pattern) if not self.outside(path).is_dir())

    def _matching(self, pattern: str) -> list[str]:
        folder, name = posixpath.split(pattern)
        if not has_magic(pattern):
            return [pattern] if self.exists(pattern) else []
        folders = self._matching(folder) if has_magic(folder) else [folder]
        names = {each: fnmatch.filter(self._names(each), name) if has_magic(name) else [name] for each in folders}
        found = [posixpath.join(each, name) for each in folders for name in names[each]]
        return found if has_magic(name) else [path for path in found if self.exists(path)]

    def below(self, folder: str) -> list[str]:
        """Return the files in `folder` and its subdirectories, sorted in each; links to directories are not followed."""
        found = []
        for name in sorted(self._names(folder)):
            path = posixpath.join(folder, name)
            is_link = (self.outside(folder) / name).is_symlink()
            if not self.outside(path).is_dir():
                found.append(path)
            elif not is_link:
                found += self.below(path)
        return found

    def _names(self, folder: str) -> list[str]:
        try:
            return [each.name for each in self.outside(folder).iterdir()]
        except (FileNotFoundError, NotADirectoryError):
            return []
        except OSError as error:
            raise Problem(f"{folder}: cannot read: {error.strerror}") from None

    def program(self, name: str, folders: Iterable[str]) -> str:
        """Return the full path of the program `name`, looked up in `folders` unless it is a path; "" if not found."""
        places = [name] if name.startswith("/") else [f"{folder}/{name}" for folder in folders]
        return next((place for place in places if self.is_program(place)), "")

    def is_program(self, path: str) -> bool:
        outside = self.outside(path)
        return outside.is_file() and os.access(outside, os.X_OK)

    def is_read_only(self, folder: str) -> bool:
        """Return whether `folder` is on a read-only file system (statvfs(3), ST_RDONLY)."""
        try:
            return bool(os.statvfs(self.outside(folder)).f_flag & os.ST_RDONLY)
        except OSError:
            return False

    # Writing

    def commit(self, changes: Sequence[Change], folders: Iterable[str] = (), *, patience: float = 0.0) -> None:
        """Make all `changes`, and then remove the empty ones of `folders`. After a Problem no file is changed. Wait for another
        oci-systemd for up to `patience` seconds."""
        made: list[Path] = []
        staged: list[_Staged] = []
        with self.alone(patience):
            try:
                for change in changes:
                    staged.append(self._stage(change, staged))
                    staged[-1].prepare(made)
                _replace(staged)
            except BaseException as error:
                _clear(staged, made[::-1])
                raise _unchanged(error) from None
            _clear(staged, map(self.outside, folders))

    def _stage(self, change: Change, others: Iterable[_Staged]) -> _Staged:
        if self.read(change.path) != change.old:
            raise Problem(f"{change.path}: another process has just changed it; try again")
        place = self.outside(change.path)
        if any(place == other.place for other in others):
            raise Problem(f"{change.path}: a link to another file that also changes; replace the link with a file")
        return _Staged(place, change)

    @contextmanager
    def alone(self, patience: float = 0.0) -> Iterator[None]:
        """Lock out other oci-systemd processes. Raise a Problem if another one holds the lock for more than `patience` seconds.

        Only the owner may open the lock file, so no other user can hold the lock; it is released when its holder ends.
        """
        place, made = self.outside(LOCK), list[Path]()
        try:
            fd = self._locked(place, made, time.monotonic() + patience)
            try:
                yield
            finally:
                if fd is not None:
                    with suppress(OSError):
                        place.unlink()
                    os.close(fd)
        finally:
            for folder in reversed(made):
                with suppress(OSError):  # not empty: another process uses it
                    folder.rmdir()

    def _locked(self, place: Path, made: list[Path], end: float) -> int | None:
        """Return a descriptor of the lock file, once this process holds the lock; None for a user who may not write there, and
        shares no files with root. `made` collects the new directories."""
        try:
            while (fd := _lock(place, made)) is None:
                if time.monotonic() >= end:
                    raise Problem(f"{self.root}: in use by another oci-systemd; try again")
                time.sleep(PAUSE)
        except OSError as error:
            if isinstance(error, PermissionError) and os.geteuid() != 0:
                return None
            raise _unchanged(OSError(error.errno, error.strerror, str(place))) from None
        return fd


def _lock(place: Path, made: list[Path]) -> int | None:
    """Return a descriptor of the lock at `place`, None if another process holds it, which may remove the file and directories."""
    try:
        _make_folders(place.parent, made)
        fd = os.open(place, os.O_CREAT | os.O_RDWR | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    except (FileNotFoundError, FileExistsError):
        return None
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        if os.path.samestat(os.fstat(fd), place.stat()):
            return fd
    except (BlockingIOError, FileNotFoundError):
        pass
    except OSError:  # a file system without locks
        return fd
    os.close(fd)
    return None


class _Staged:
    """One change in progress: its `place`, and beside it the `new` file and a copy of the `old` one. For a file that is removed the
    `status` is kept instead of a copy, since an engine could read a copy left by a killed process."""

    __slots__ = ("change", "done", "new", "old", "place", "status")

    def __init__(self, place: Path, change: Change) -> None:
        self.place = place
        self.new = place.with_name(f".{place.name}.{NEW}")
        self.old = place.with_name(f".{place.name}.{OLD}")
        self.change = change
        self.done = False
        self.status: os.stat_result | None = None

    def prepare(self, made: list[Path]) -> None:
        """Write both texts beside the place, which fails here if the disk is full. `made` collects the new directories."""
        _make_folders(self.place.parent, made)
        self.clear()  # left by a killed process
        if self.change.new is None:
            self.status = self.place.stat()
            return
        for path, text in ((self.old, self.change.old), (self.new, self.change.new)):
            if text is not None:
                _write(path, text.encode(), self.place, self.change.mode)

    def act(self) -> None:
        if self.change.new is None:
            self.place.unlink()
        else:
            self.new.rename(self.place)
        self.done = True
        flush_folder(str(self.place.parent))

    def put_back(self) -> None:
        if self.change.old is None:
            self.place.unlink()
        elif self.status is None:
            self.old.rename(self.place)
        else:
            _write(self.new, self.change.old.encode(), self.place, stat.S_IMODE(self.status.st_mode))
            os.chown(self.new, self.status.st_uid, self.status.st_gid)
            self.new.rename(self.place)

    def clear(self) -> None:
        for path in (self.new, self.old):
            path.unlink(missing_ok=True)


def _replace(staged: Sequence[_Staged]) -> None:
    """Put each new file in its place; if one fails, restore the others."""
    try:
        for each in staged:
            each.act()
    except BaseException:
        for each in staged:
            if each.done:
                each.put_back()
        raise


def _clear(staged: Iterable[_Staged], folders: Iterable[Path]) -> None:
    """Remove the copies beside the files, and the empty ones of `folders`. Leftovers do no harm."""
    for each in staged:
        with suppress(OSError):
            each.clear()
    for folder in folders:
        with suppress(OSError):
            folder.rmdir()


def _unchanged(error: BaseException) -> BaseException:
    """Return `error` with the note that no file is changed."""
    if isinstance(error, OSError):
        return Problem(f"{error.filename}: cannot write: {error.strerror}; no file is changed")
    return Problem(f"{error}; no file is changed") if isinstance(error, Problem) else error


def _write(path: Path, data: bytes, like: Path, mode: int) -> None:
    """Write `data` to a new file at `path`, with the mode and owner of the file at `like`, else with `mode`."""
    try:
        fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
        try:
            write_all(fd, data)
            with suppress(FileNotFoundError):
                status = like.stat()
                os.fchown(fd, status.st_uid, status.st_gid)
                mode = stat.S_IMODE(status.st_mode)
            os.fchmod(fd, mode)
            os.fsync(fd)
        finally:
            os.close(fd)
    except OSError as error:
        raise OSError(error.errno, error.strerror, str(like)) from None


def _make_folders(folder: Path, made: list[Path]) -> None:
    if not folder.is_dir():
        _make_folders(folder.parent, made)
        folder.mkdir()
        made.append(folder)
        folder.chmod(0o755)  # whatever the umask: other users read the files in it too
