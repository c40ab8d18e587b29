"""The wrapper runtime, called by its launcher: `create` and `run` adjust the bundle, `kill` finds the signal to send.

Law: Python decides, and the launcher then becomes the real runtime. A call of another kind, or one that is not understood, is
passed on unchanged. Only the verdict is printed. Imports are limited (tests/laws/weight): Python starts for each of these calls,
and imports only the modules for that kind of call.
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
    """Return the verdict on the call of `launcher` with `words`, for the launcher to carry out:

    go              become the real runtime, with the words unchanged
    SIGNAL PLACE    the same, but replace the word at PLACE, from 1, with the number SIGNAL; one past the last appends it
    no SENTENCE     print the sentence to stderr, and exit with status 1

    `damaged` is the path of a damaged file of the installation, "" if there is none.
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
    """Do what this call needs, and return the verdict. Raise a Problem if the container must not start."""
    if invocation.command == "kill":
        from oci_systemd.runtime.kill import stop_signal

        signal = stop_signal(runtime, invocation)
        return GO if signal is None else f"{signal} {invocation.place_of_signal(words)}"
    from oci_systemd.runtime.create import prepare_bundle

    prepare_bundle(invocation, started, damaged)
    return GO


def real_runtime(name: str, launcher: str) -> str:
    """Return the path of the real runtime. Raise a Problem if it is missing, or is this wrapper itself."""
    path = name if "/" in name else _found(name, posix.environ.get(b"PATH", USUAL_PATH))
    if not _is_program(path):
        raise Problem(f"real runtime {name!r}: not found or not executable; {REMEDY}")
    if _same(path, launcher):
        raise Problem(f"real runtime {name!r}: is oci-systemd-runtime itself; {REMEDY}")
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
    """Return the sentence for `problem`, after writing it to the file of --log, where the engine reads it."""
    message = f"oci-systemd: {problem}"
    if invocation and invocation.log:
        try:
            append(invocation.log, _log_line(message, invocation.log_format).encode(), 0o644)
        except OSError:
            message += f" (cannot write {invocation.log})"
    return message


def _log_line(message: str, log_format: str) -> str:
    """Return a log line in the format of runc (logrus), which the engine reads."""
    from oci_systemd.core.json_text import line

    now = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
    if log_format == "json":
        return line({"level": "error", "msg": message, "time": now}) + "\n"
    return f"time={line(now)} level=error msg={line(message)}\n"
