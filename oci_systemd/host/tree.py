"""The configuration files of this machine, or of a root file system elsewhere: read, and changed all together or not at all.

Law: a path is resolved inside the root, whatever its links say, and a file that is a link is changed where it leads. New
texts are complete beside the old ones before the first is put in its place; if one cannot be, the others are put back.
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
        """What is to become of one file; None where there is none. `mode` is for a new one."""

        @property
        def path(self) -> str: ...
        @property
        def old(self) -> str | None: ...
        @property
        def new(self) -> str | None: ...
        @property
        def mode(self) -> int: ...


LIMIT = 16 << 20  # bytes of a configuration file
# Beside a file while it is changed. Engines read *.toml or *.conf of a folder, and CRI-O all of it, but at a start alone.
NEW, OLD = LEFT = "oci-systemd-new", "oci-systemd-old"
LOCK = "/run/oci-systemd/lock"
PAUSE = 0.1  # seconds between two looks at a lock


class Tree:
    """The files below `root`; paths are as they are named inside it."""

    def __init__(self, root: str = "/") -> None:
        if not Path(root).is_dir():
            raise Problem(f"the root {root!r} is no directory")
        self.root = Path(root).resolve()

    @property
    def is_this_machine(self) -> bool:
        return self.root == Path("/")

    def outside(self, path: str) -> Path:
        """Where this process finds `path`, its links followed inside the root."""
        place = follow(clean(path), self)
        if place == LOST:
            raise Problem(f"{path} leads through too many links")
        return self._below(place)

    def _below(self, place: str) -> Path:
        return self.root / place.lstrip("/")

    def get(self, place: str) -> str | None:
        """The text of the link at `place`, for `follow`."""
        with suppress(OSError):
            return str(self._below(place).readlink())
        return None

    # Reading

    def exists(self, path: str) -> bool:
        return os.path.lexists(self.outside(path))

    def read(self, path: str) -> str | None:
        """The text of the file at `path`; None where there is none. A Problem where it cannot be read."""
        outside = self.outside(path)
        try:
            outside.lstat()
        except (FileNotFoundError, NotADirectoryError):
            return None
        except OSError as error:  # a folder that is closed to us tells nothing
            raise Problem(f"{path} cannot be read: {error.strerror}") from None
        try:
            return read_regular(str(outside), LIMIT)[0].decode()
        except UnicodeDecodeError as error:
            raise Problem(f"{path} is not UTF-8 at byte {error.start}; it stays as it is: correct it first") from None

    def glob(self, pattern: str) -> list[str]:
        """The files whose paths match `pattern`, in order."""
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
        """The files in `folder` and its folders, each folder in order; a link to a folder is not followed."""
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
            raise Problem(f"{folder} cannot be read: {error.strerror}") from None

    def program(self, name: str, folders: Iterable[str]) -> str:
        """The full path of the program `name`, sought in `folders` unless it is a path already; "" where there is none."""
        places = [name] if name.startswith("/") else [f"{folder}/{name}" for folder in folders]
        return next((place for place in places if self.is_program(place)), "")

    def is_program(self, path: str) -> bool:
        outside = self.outside(path)
        return outside.is_file() and os.access(outside, os.X_OK)

    def is_read_only(self, folder: str) -> bool:
        """Whether `folder` lies on a file system that is mounted read-only (statvfs(3), ST_RDONLY)."""
        try:
            return bool(os.statvfs(self.outside(folder)).f_flag & os.ST_RDONLY)
        except OSError:
            return False

    # Writing

    def commit(self, changes: Sequence[Change], folders: Iterable[str] = (), *, patience: float = 0.0) -> None:
        """Make all of `changes`, and then remove those of `folders` that are empty. A Problem where nothing was changed. It waits
        `patience` seconds for another of us."""
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
                raise _as_it_was(error) from None
            _clear(staged, map(self.outside, folders))

    def _stage(self, change: Change, others: Iterable[_Staged]) -> _Staged:
        if self.read(change.path) != change.old:
            raise Problem(f"{change.path} was changed by somebody else just now: try again")
        place = self.outside(change.path)
        if any(place == other.place for other in others):
            raise Problem(f"{change.path} leads to another file that is to be changed as well: put a file in its place")
        return _Staged(place, change)

    @contextmanager
    def alone(self, patience: float = 0.0) -> Iterator[None]:
        """Keep others of us from writing meanwhile. A Problem where another one does, for longer than `patience` seconds.

        The lock is a file that only its owner may open, so that nobody else can hold it; it goes with its holder.
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
                with suppress(OSError):  # somebody else has put something there
                    folder.rmdir()

    def _locked(self, place: Path, made: list[Path], end: float) -> int | None:
        """A descriptor of the lock file, once it is ours alone; None for a user who may not write there, and shares nothing
        with root. `made`: the folders for it."""
        try:
            while (fd := _lock(place, made)) is None:
                if time.monotonic() >= end:
                    raise Problem(f"another oci-systemd writes below {self.root} just now: try again")
                time.sleep(PAUSE)
        except OSError as error:
            if isinstance(error, PermissionError) and os.geteuid() != 0:
                return None
            raise _as_it_was(OSError(error.errno, error.strerror, str(place))) from None
        return fd


def _lock(place: Path, made: list[Path]) -> int | None:
    """A descriptor of the lock at `place`, None where another one has it: who had it may take file and folders away meanwhile."""
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
    """One change on its way: its `place`, the `new` file beside it, and the `old` one once more; of a file that goes the `status`
    is kept in its place, since what is left beside it by one of us that was killed would be read for it."""

    __slots__ = ("change", "done", "new", "old", "place", "status")

    def __init__(self, place: Path, change: Change) -> None:
        self.place = place
        self.new = place.with_name(f".{place.name}.{NEW}")
        self.old = place.with_name(f".{place.name}.{OLD}")
        self.change = change
        self.done = False
        self.status: os.stat_result | None = None

    def prepare(self, made: list[Path]) -> None:
        """Write both texts beside the place: that there is no room for them is found out here. `made`: the folders for it."""
        _make_folders(self.place.parent, made)
        self.clear()  # what was left by one of us that was killed
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
    """Put each new file in its place; where one cannot be, those that are done already are put back."""
    try:
        for each in staged:
            each.act()
    except BaseException:
        for each in staged:
            if each.done:
                each.put_back()
        raise


def _clear(staged: Iterable[_Staged], folders: Iterable[Path]) -> None:
    """Remove what was beside the files, and those of `folders` that are empty. What stays does no harm."""
    for each in staged:
        with suppress(OSError):
            each.clear()
    for folder in folders:
        with suppress(OSError):
            folder.rmdir()


def _as_it_was(error: BaseException) -> BaseException:
    if isinstance(error, OSError):
        return Problem(f"{error.filename} cannot be written: {error.strerror}; all is as it was")
    return Problem(f"{error}; all is as it was") if isinstance(error, Problem) else error


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
        folder.chmod(0o755)  # whatever the umask: not only root reads what is in it
