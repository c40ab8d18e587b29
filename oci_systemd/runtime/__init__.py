"""The wrapper runtime, behind its launcher: `create` and `run` adjust the bundle, `kill` translates, and all exec the real one.

Law: in the exec'd runtime nothing differs from a direct call but what was decided here, and a call that is not ours, or is
not understood, goes through unchanged. Every import is weighed (tests/laws/weight): this starts for each of those calls,
and each of them loads its own half alone.
"""

from __future__ import annotations

import posix
import time
from _stat import S_ISREG

from oci_systemd.core import argv
from oci_systemd.core.errors import Problem
from oci_systemd.host.files import append, read

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import NoReturn

    from oci_systemd.core.argv import Invocation

VARIABLE = "OCI_SYSTEMD_RUNTIME"
REMEDY = f"set {VARIABLE}, or install again with RUNTIME=PATH"
USUAL_PATH = b"/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
# What Python ignores from its start (Python/pylifecycle.c, _PySignal_Init): SIGPIPE and SIGXFSZ.
IGNORED_BY_PYTHON = (13, 25)


class Call:
    """One call of the wrapper: the real runtime and its words, and what has to be put back before the exec."""

    __slots__ = ("environ", "ignored", "launcher", "runtime", "words")

    def __init__(self, runtime: str, ignored: str, launcher: str, words: list[str]) -> None:
        self.runtime = runtime
        self.ignored = int(ignored) if ignored.isdigit() else 0
        self.launcher = launcher
        self.words = words
        self.environ = _first_environ()

    def restored_signals(self) -> list[int]:
        """The signals that were not ignored before Python started."""
        return [number for number in IGNORED_BY_PYTHON if not self.ignored >> (number - 1) & 1]

    def exec(self) -> NoReturn:
        """Become the real runtime."""
        from _signal import SIG_DFL, signal  # type: ignore[import-not-found]  # the C half of signal

        for ignored in self.restored_signals():
            signal(ignored, SIG_DFL)
        posix.execve(self.runtime, [self.runtime, *self.words], self.environ)


def _first_environ() -> dict[bytes, bytes]:
    """The environment as it was before Python started, which adds LC_CTYPE where there is no locale (PEP 538)."""
    try:
        data = read("/proc/self/environ")
    except OSError:
        return dict(posix.environ)
    pairs = (entry.partition(b"=") for entry in data.split(b"\0") if b"=" in entry)
    return {name: value for name, _, value in pairs}


def main(words: list[str]) -> None:
    """`words`: the real runtime, the signals ignored before Python (a decimal mask), the launcher's path, the call's words."""
    started = time.monotonic()
    call = Call(words[0], words[1], words[2], words[3:])
    invocation = argv.parse(call.words)
    try:
        call.runtime = real_runtime(call)
        if invocation:
            prepare(call, invocation, started)
        call.exec()
    except Problem as problem:
        fail(problem, invocation)
    except OSError as error:
        fail(Problem(f"the real runtime {call.runtime} cannot be started: {error.strerror}; {REMEDY}"), invocation)


def prepare(call: Call, invocation: Invocation, started: float) -> None:
    """Do what this call needs before the real runtime has it. A Problem where the container must not start."""
    if invocation.command == "kill":
        from oci_systemd.runtime.kill import words_for

        call.words = words_for(call, invocation)
    else:
        from oci_systemd.runtime.create import prepare_bundle

        prepare_bundle(call, invocation, started)


def real_runtime(call: Call) -> str:
    """The path of the real runtime. A Problem where it is missing, or is this wrapper itself."""
    name = call.runtime
    path = name if "/" in name else _found(name, call.environ.get(b"PATH", USUAL_PATH))
    if not _is_program(path):
        raise Problem(f"the real runtime {name!r} is not there or not executable; {REMEDY}")
    if _same(path, call.launcher):
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


def fail(problem: Problem, invocation: Invocation | None) -> NoReturn:
    """End with our sentence where the engine looks for it: in the file of --log, and on stderr."""
    message = f"oci-systemd: {problem}"
    if invocation and invocation.log:
        try:
            append(invocation.log, _log_line(message, invocation.log_format).encode(), 0o644)
        except OSError:
            message += f" (and {invocation.log} cannot be written)"
    try:
        posix.write(2, message.encode(errors="backslashreplace") + b"\n")
    finally:
        posix._exit(1)


def _log_line(message: str, log_format: str) -> str:
    """What runc itself would write (logrus), for the engine that reads it."""
    from oci_systemd.core.json_text import line

    now = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
    if log_format == "json":
        return line({"level": "error", "msg": message, "time": now}) + "\n"
    return f"time={line(now)} level=error msg={line(message)}\n"
