"""A running container as its runtime and /proc tell: `state ID` (runtime-spec, operations), and the init process's signals.

Law: nothing here waits longer than its bound, and what cannot be learnt is None. What is needed only once the runtime
runs is imported then, while it works.
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

STATE_TIMEOUT = 5.0  # seconds that the runtime's `state` may take
YOUNG = 10.0  # seconds of age up to which an init process may not have come to its signals yet
PATIENCE = 2.0  # seconds that such a one is waited for
PAUSE = 0.002  # seconds between two looks at it
LIMIT = 16 << 20  # bytes of a state's output
# Python ignores these from its start (Python/pylifecycle.c, _PySignal_Init): SIGPIPE and SIGXFSZ.
IGNORED_BY_PYTHON = (13, 25)


class State:
    """What of `state ID` matters: the annotations and PID of a container that is running."""

    __slots__ = ("annotations", "pid")

    def __init__(self, annotations: dict[str, str], pid: int) -> None:
        self.annotations = annotations
        self.pid = pid


def state(runtime: str, words: Sequence[str], environ: Mapping[bytes, bytes]) -> State | None:
    """The State that `runtime words…` prints; None where it does not, in time, or the container is not running."""
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
    """What the runtime prints, with nothing to read and its errors unseen: they would be taken for the engine's call's."""
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
    """All that comes from `fd` up to its end; an OSError where that is not reached by the deadline."""
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
    raise TimeoutError("the runtime's state did not come to its end")


def _end(pid: int) -> None:
    """Reap the child, whose output has ended or is not waited for any longer; where it still runs it is killed first."""
    try:
        posix.kill(pid, 9)
        posix.waitpid(pid, 0)
    except OSError:  # where SIGCHLD is ignored, the kernel has reaped it
        return


def comes_to_await(pid: int, signal: int, runtime: str) -> bool:
    """Whether the init process `pid` awaits `signal` (Status.awaits), waited for while it is young."""
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
    """Seconds since the process `pid` began; infinite where that cannot be told."""
    began = process.start(pid)
    try:
        uptime = float(process.text("/proc/uptime").split()[0])
    except (OSError, ValueError, IndexError):
        return float("inf")
    return float("inf") if began is None else uptime - began / posix.sysconf("SC_CLK_TCK")
