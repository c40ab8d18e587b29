"""A bundle's config.json: read whole, and replaced whole.

Law: at any moment the old file or the new one is there. The new one is written beside the old and renamed over it; what a
killed call left is swept by the next one.
"""

from __future__ import annotations

import posix

from oci_systemd.core.errors import Problem, SpecError
from oci_systemd.core.json_text import parse, patch
from oci_systemd.host import process
from oci_systemd.host.files import flush_folder, read_regular, write_all

TYPE_CHECKING = False
if TYPE_CHECKING:
    from oci_systemd.core.json_text import Json

NEW = posix.O_WRONLY | posix.O_CREAT | posix.O_EXCL | posix.O_CLOEXEC | posix.O_NOFOLLOW
LIMIT = 64 << 20  # bytes; the largest that engines write is a hundredth of it
MARK = ".oci-systemd-"  # in a temporary file's name, before the PID and the start of the process that writes it


class Config:
    """One config.json: where it is, its text and the value that the text has. `spec` is what `parse` gave; keep it as it is."""

    __slots__ = ("path", "spec", "status", "text")

    def __init__(self, path: str, text: str, spec: Json, status: posix.stat_result | None = None) -> None:
        self.path = path
        self.text = text
        self.spec = spec
        self.status = status

    def patched(self, spec: Json) -> str:
        return patch(self.text, self.spec, spec)


def load(path: str) -> Config:
    """The config.json at `path`. A Problem that names it where it cannot be read or is no JSON."""
    data, status = read_regular(path, LIMIT)
    return decode(data, path, status)


def decode(data: bytes, path: str, status: posix.stat_result | None = None) -> Config:
    """The Config that `data`, read from `path`, holds."""
    try:
        text, spec = parse(data)
    except SpecError as problem:
        empty = "it is empty" if not data.strip() else str(problem)
        raise unusable(path, empty) from None
    return Config(path, text, spec, status)


def unusable(path: str, said: object) -> SpecError:
    """The error for a config.json that was read, and is not what it should be."""
    return SpecError(f"{path} cannot be used: {said}")


def save(config: Config, text: str, *, durable: bool) -> None:
    """Put `text` in the place of the config.json, with its mode and owner; `durable` waits for the disk before the rename."""
    folder, start = _beside(config.path)
    temporary = f"{folder}{start}{posix.getpid()}-{process.start(posix.getpid())}"
    try:
        fd = posix.open(temporary, NEW, 0o600)
    except OSError as error:
        raise Problem(f"{config.path} cannot be written: {error.strerror}") from None
    try:
        try:
            _fill(fd, config, text.encode(), durable=durable)
        finally:
            posix.close(fd)
        posix.rename(temporary, config.path)
    except OSError as error:
        _remove(temporary)
        raise Problem(f"{config.path} cannot be written: {error.strerror}; it is as it was") from None
    if durable:
        flush_folder(folder or ".")


def _beside(path: str) -> tuple[str, str]:
    """The folder of `path`, with its slash, and how the names of temporary files beside it begin."""
    cut = path.rfind("/") + 1
    return path[:cut], f".{path[cut:]}{MARK}"


def _remove(path: str) -> None:
    try:
        posix.unlink(path)
    except OSError:
        return


def _fill(fd: int, config: Config, data: bytes, *, durable: bool) -> None:
    write_all(fd, data)
    if config.status is not None:
        own = posix.fstat(fd)
        if (own.st_uid, own.st_gid) != (config.status.st_uid, config.status.st_gid):
            posix.fchown(fd, config.status.st_uid, config.status.st_gid)
        posix.fchmod(fd, config.status.st_mode & 0o7777)
    if durable:
        posix.fsync(fd)


def sweep(path: str) -> None:
    """Remove what calls that were killed left beside the config.json at `path`. What lives, or may, stays."""
    folder, start = _beside(path)
    try:
        names = posix.listdir(folder or ".")
    except OSError:
        return
    for name in names:
        if name.startswith(start) and not _may_live(name.removeprefix(start)):
            _remove(folder + name)


def _may_live(mark: str) -> bool:
    """Whether the process that `mark` (PID-start) names is there; true of what no call of ours has written."""
    pid, _, start = mark.partition("-")
    if not (mark.isascii() and pid.isdigit() and start.isdigit() and len(pid) < 10):
        return True
    return process.start(int(pid)) == int(start)
