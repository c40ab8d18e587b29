"""Read a file that may be anything: a FIFO, a directory, a device, a hundred megabytes. Nothing here blocks."""

from __future__ import annotations

import posix
from _stat import S_ISDIR, S_ISREG
from errno import EMFILE, ENFILE, ENOMEM

from oci_systemd.core.errors import Problem, Shortage

READ = posix.O_RDONLY | posix.O_CLOEXEC | posix.O_NONBLOCK | posix.O_NOCTTY
CHUNK = 1 << 20
SHORTAGES = (ENOMEM, ENFILE, EMFILE)


def read_regular(path: str, limit: int) -> tuple[bytes, posix.stat_result]:
    """Return the bytes and the stat of the regular file at `path`, with links followed. Raise a Problem if it is not a regular
    file or exceeds `limit`, a Shortage if this process has no descriptor or memory left."""
    try:
        fd = posix.open(path, READ)
    except OSError as error:
        kind = Shortage if error.errno in SHORTAGES else Problem
        raise kind(f"{path}: cannot read: {error.strerror}") from None
    try:
        status = posix.fstat(fd)
        if not S_ISREG(status.st_mode):
            raise Problem(f"{path}: {'is a directory' if S_ISDIR(status.st_mode) else 'is not a regular file'}")
        if status.st_size > limit:
            raise Problem(f"{path}: too large: {status.st_size} bytes; the limit is {limit}")
        return read_all(fd), status
    except OSError as error:
        raise Problem(f"{path}: cannot read: {error.strerror}") from None
    finally:
        posix.close(fd)


def read(path: str) -> bytes:
    """Return the file at `path`, which must be one that ends, such as below /proc. Raise OSError if it cannot be read."""
    fd = posix.open(path, posix.O_RDONLY | posix.O_CLOEXEC)
    try:
        return read_all(fd)
    finally:
        posix.close(fd)


def read_all(fd: int) -> bytes:
    parts = []
    while part := posix.read(fd, CHUNK):
        parts.append(part)
    return b"".join(parts)


def write_all(fd: int, data: bytes) -> None:
    view = memoryview(data)
    while view:
        view = view[posix.write(fd, view) :]


def flush(path: str) -> None:
    """Wait until the file at `path` is on disk."""
    _flush(path, READ)


def flush_folder(folder: str) -> None:
    """Wait until the names in `folder` are on disk."""
    _flush(folder, posix.O_RDONLY | posix.O_DIRECTORY | posix.O_CLOEXEC)


def _flush(path: str, flags: int) -> None:
    fd = posix.open(path, flags)
    try:
        posix.fsync(fd)
    except OSError as error:
        raise OSError(error.errno, error.strerror, path) from None
    finally:
        posix.close(fd)


def append(path: str, data: bytes, mode: int) -> None:
    """Append `data` to the file at `path` in one write; create the file if needed. Raise OSError if that would block or fails."""
    fd = posix.open(
        path,
        posix.O_WRONLY | posix.O_APPEND | posix.O_CREAT | posix.O_CLOEXEC | posix.O_NONBLOCK | posix.O_NOCTTY,
        mode,
    )
    try:
        posix.write(fd, data)
    finally:
        posix.close(fd)
