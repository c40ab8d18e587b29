"""The wrapper runtime, behind its launcher: `create` and `run` adjust the bundle, `kill` finds the signal to send.

Law: it decides, and the launcher becomes the real runtime; a call that is not ours, or is not understood, goes through
unchanged. Nothing is printed but the verdict. Every import is weighed (tests/laws/weight): this starts for each of those calls,
and each of them loads its own half alone.
"""

from __future__ import annotations

import posix
import time
from _stat import S_ISREG

from oci_systemd.core import argv
from oci_systemd.core.errors import Problem
from oci_systemd.host.files import append

TYPE_CHECKING = False
if TYPE_CHECKING:
    from oci_systemd.core.argv import Invocation

VARIABLE = "OCI_SYSTEMD_RUNTIME"
REMEDY = f"set {VARIABLE}, or install again with RUNTIME=PATH"
USUAL_PATH = b"/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
GO = "go"


def main(runtime: str, launcher: str, words: list[str], damaged: str) -> bytes:
    """The verdict on the call of `launcher` with `words`, for it to carry out:

    go              become the real runtime, with the words as they are
    SIGNAL PLACE    the same, with the number SIGNAL for the word at PLACE, from 1; one past the last adds it
    no SENTENCE     print the sentence to stderr, and end with status 1

    `damaged` names a file of the installation that is not what it was, "" where there is none.
    """
    started = time.monotonic()
    invocation = argv.parse(words)
    try:
        path = real_runtime(runtime, launcher)
        verdict = _prepared(path, words, invocation, started, damaged) if invocation else GO
    except Problem as problem:
        verdict = f"no {told(problem, invocation)}"
    return verdict.encode(errors="backslashreplace")


def _prepared(runtime: str, words: list[str], invocation: Invocation, started: float, damaged: str) -> str:
    """The verdict once all is done that this call needs. A Problem where the container must not start."""
    if invocation.command == "kill":
        from oci_systemd.runtime.kill import stop_signal

        signal = stop_signal(runtime, invocation)
        return GO if signal is None else f"{signal} {invocation.place_of_signal(words)}"
    from oci_systemd.runtime.create import prepare_bundle

    prepare_bundle(invocation, started, damaged)
    return GO


def real_runtime(name: str, launcher: str) -> str:
    """The path of the real runtime. A Problem where it is missing, or is this wrapper itself."""
    path = name if "/" in name else _found(name, posix.environ.get(b"PATH", USUAL_PATH))
    if not _is_program(path):
        raise Problem(f"the real runtime {name!r} is not there or not executable; {REMEDY}")
    if _same(path, launcher):
        raise Problem(f"the real runtime {name!r} is oci-systemd-runtime itself; {REMEDY}")
    return path


def _found(name: str, path: bytes) -> str:
    folders = path.decode(errors="surrogateescape").split(":")
    candidates = (f"{folder or '.'}/{name}" for folder in folders)
    return next((candidate for candidate in candidates if _is_program(candidate)), "")


def _is_program(path: str) -> bool:
    try:
        return S_ISREG(posix.stat(path).st_mode) and posix.access(path, posix.X_OK)
    except (OSError, ValueError):
        return False


def _same(one: str, other: str) -> bool:
    try:
        first, second = posix.stat(one), posix.stat(other)
    except OSError:
        return False
    return (first.st_dev, first.st_ino) == (second.st_dev, second.st_ino)


def told(problem: Problem, invocation: Invocation | None) -> str:
    """Our sentence on `problem`, which is now in the file of --log, too, where the engine looks for it."""
    message = f"oci-systemd: {problem}"
    if invocation and invocation.log:
        try:
            append(invocation.log, _log_line(message, invocation.log_format).encode(), 0o644)
        except OSError:
            message += f" (and {invocation.log} cannot be written)"
    return message


def _log_line(message: str, log_format: str) -> str:
    """What runc itself would write (logrus), for the engine that reads it."""
    from oci_systemd.core.json_text import line

    now = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
    if log_format == "json":
        return line({"level": "error", "msg": message, "time": now}) + "\n"
    return f"time={line(now)} level=error msg={line(message)}\n"
