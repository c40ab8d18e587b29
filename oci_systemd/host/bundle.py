"""Read a bundle's config.json, and replace it as a whole.

Law: at any moment the old file or the new one exists. The new file is written beside the old one and renamed over it; the next
call removes what a killed call left behind.
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
LIMIT = 64 << 20  # bytes; a hundred times the largest that engines write
MARK = ".oci-systemd-"  # in a temporary file's name, before the PID and the start of the process that writes it


class Config:
    """One config.json: its path, its text, and the `spec` that `parse` read from the text. Do not modify `spec`."""

    __slots__ = ("path", "spec", "status", "text")

    def __init__(self, path: str, text: str, spec: Json, status: posix.stat_result | None = None) -> None:
        self.path = path
        self.text = text
        self.spec = spec
        self.status = status

    def patched(self, spec: Json) -> str:
        return patch(self.text, self.spec, spec)


def load(path: str) -> Config:
    """Return the config.json at `path`. Raise a Problem that names the file if it cannot be read or is invalid JSON."""
    data, status = read_regular(path, LIMIT)
    return decode(data, path, status)


def decode(data: bytes, path: str, status: posix.stat_result | None = None) -> Config:
    """Return the Config in `data`, read from `path`."""
    try:
        text, spec = parse(data)
    except SpecError as problem:
        raise unusable(path, problem if data.strip() else "the file is empty") from None
    return Config(path, text, spec, status)


def unusable(path: str, said: object) -> SpecError:
    """Return the error for an invalid config.json."""
    return SpecError(f"{path}: {said}")


def save(config: Config, text: str, *, durable: bool) -> None:
    """Replace the config.json with `text`, with the same mode and owner; `durable` waits for the disk before the rename."""
    folder, start = _beside(config.path)
    temporary = f"{folder}{start}{posix.getpid()}-{process.start(posix.getpid())}"
    try:
        fd = posix.open(temporary, NEW, 0o600)
    except OSError as error:
        raise Problem(f"{config.path}: cannot write: {error.strerror}") from None
    try:
        try:
            _fill(fd, config, text.encode(), durable=durable)
        finally:
            posix.close(fd)
        posix.rename(temporary, config.path)
    except OSError as error:
        _remove(temporary)
        raise Problem(f"{config.path}: cannot write: {error.strerror}; the file is unchanged") from None
    if durable:
        flush_folder(folder or ".")


def _beside(path: str) -> tuple[str, str]:
    """Return the directory of `path`, with a final slash, and the start of the names of temporary files in it."""
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
    """Remove temporary files of killed calls beside the config.json at `path`, unless their process may still run."""
    folder, start = _beside(path)
    try:
        names = posix.listdir(folder or ".")
    except OSError:
        return
    for name in names:
        if name.startswith(start) and not _may_live(name.removeprefix(start)):
            _remove(folder + name)


def _may_live(mark: str) -> bool:
    """Return whether the process in `mark` (PID-start) still runs; true if the mark is not one of oci-systemd's."""
    pid, _, start = mark.partition("-")
    if not (mark.isascii() and pid.isdigit() and start.isdigit() and len(pid) < 10):
        return True
    return process.start(int(pid)) == int(start)
