"""A running container, from its runtime and /proc: `state ID` (runtime-spec, operations), and the init process's signals.

Law: every wait has a limit, and unknown is None. Modules that are needed only after the runtime has started are imported while
it runs.
"""

from __future__ import annotations

import posix
import time

from oci_systemd.core.errors import Problem
from oci_systemd.core.signals import Status
from oci_systemd.host import process

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from oci_systemd.core.json_text import Json

STATE_TIMEOUT = 5.0  # seconds for the runtime's `state`
YOUNG = 10.0  # seconds: a younger init process may not have set up its signals yet
PATIENCE = 2.0  # seconds to wait for a young process
PAUSE = 0.002  # seconds between two checks
LIMIT = 16 << 20  # bytes of a state's output
# Python ignores SIGPIPE and SIGXFSZ from its start (Python/pylifecycle.c, _PySignal_Init).
IGNORED_BY_PYTHON = (13, 25)


class State:
    """The parts of `state ID` that matter: annotations and PID of a running container."""

    __slots__ = ("annotations", "pid")

    def __init__(self, annotations: dict[str, str], pid: int) -> None:
        self.annotations = annotations
        self.pid = pid


def state(runtime: str, words: Sequence[str], environ: Mapping[bytes, bytes]) -> State | None:
    """Return the State printed by `runtime words…`; None if it fails, times out, or the container is not running."""
    try:
        value = _parsed(_output(runtime, words, environ))
    except (OSError, Problem):
        return None
    if not isinstance(value, dict) or value.get("status") != "running":
        return None
    annotations, pid = value.get("annotations"), value.get("pid")
    if not isinstance(annotations, dict) or not isinstance(pid, int) or pid <= 0:
        return None
    return State({key: text for key, text in annotations.items() if isinstance(text, str)}, pid)


def _parsed(output: bytes) -> Json:
    from oci_systemd.core.json_text import parse

    return parse(output)[1]


def _output(runtime: str, words: Sequence[str], environ: Mapping[bytes, bytes]) -> bytes:
    """Return the runtime's output. Its stderr goes to /dev/null: the engine would read it as errors of its own call."""
    reading, writing = posix.pipe()
    nothing = b"/dev/null"
    actions = (
        (posix.POSIX_SPAWN_DUP2, writing, 1),
        (posix.POSIX_SPAWN_OPEN, 0, nothing, posix.O_RDONLY, 0),
        (posix.POSIX_SPAWN_OPEN, 2, nothing, posix.O_WRONLY, 0),
    )
    try:
        pid = posix.posix_spawn(runtime, [runtime, *words], environ, file_actions=actions, setsigdef=IGNORED_BY_PYTHON)
    except OSError:
        posix.close(reading)
        raise
    finally:
        posix.close(writing)
    try:
        return _read_until(reading, time.monotonic() + STATE_TIMEOUT)
    finally:
        posix.close(reading)
        _end(pid)


def _read_until(fd: int, deadline: float) -> bytes:
    """Return everything from `fd` up to its end. Raise OSError if the end is not reached by the deadline."""
    from select import poll

    import oci_systemd.core.json_text  # noqa: F401

    ready = poll()
    ready.register(fd)
    parts: list[bytes] = []
    while ready.poll(max(0.0, deadline - time.monotonic()) * 1000):
        part = posix.read(fd, 1 << 16)
        if not part:
            return b"".join(parts)
        parts.append(part)
        if sum(map(len, parts)) > LIMIT:
            break
    raise TimeoutError("runtime state: timed out")


def _end(pid: int) -> None:
    """Kill the child if it still runs, and reap it."""
    try:
        posix.kill(pid, 9)
        posix.waitpid(pid, 0)
    except OSError:  # with SIGCHLD ignored, the kernel has already reaped it
        return


def comes_to_await(pid: int, signal: int, runtime: str) -> bool:
    """Return whether the init process `pid` is ready for `signal` (Status.awaits); wait while it is young."""
    deadline = time.monotonic() + PATIENCE
    while True:
        try:
            status = Status(process.text(f"/proc/{pid}/status"))
        except OSError:
            return False
        if status.awaits(signal, runtime):
            return True
        if time.monotonic() > deadline or _age(pid) > YOUNG:
            return False
        time.sleep(PAUSE)


def _age(pid: int) -> float:
    """Return the seconds since the process `pid` started; infinite if unknown."""
    began = process.start(pid)
    try:
        uptime = float(process.text("/proc/uptime").split()[0])
    except (OSError, ValueError, IndexError):
        return float("inf")
    return float("inf") if began is None else uptime - began / posix.sysconf("SC_CLK_TCK")
