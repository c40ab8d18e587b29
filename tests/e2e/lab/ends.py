"""How a machine in a container may end, and what exit code its engine sees then: ENDS is the table of docs/exit-codes.md.

Law: after an end without a code (`code` None) the container is still running.
"""

from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass

import grpc

from tests.e2e.lab.container import until
from tests.e2e.lab.pods import Guest

KILL, SEGV, SIGRTMIN = 9, 11, 34
TO_END = 30  # seconds
TO_GO_ON = 5
GOES_ON = "the container runs on"


@dataclass(frozen=True)
class End:
    """A command in the container, or a signal that its first process gets from outside; `stop`, the engine's own way."""

    code: int | None
    command: str = ""
    signal: int = 0
    stop: bool = False


def unit(options: str, program: str) -> str:
    """A command that starts a unit with these settings."""
    settings = " ".join(f"--property={each}" for each in options.split())
    return f"systemd-run --quiet {settings} sh -c '{program}'"


ENDS = {
    "`systemctl exit 3`": End(3, "systemctl exit 3"),
    "`systemctl exit`": End(0, "systemctl exit"),
    "`SuccessAction=exit`, the unit ends with 0": End(0, unit("SuccessAction=exit", "exit 0")),
    "the same with `SuccessActionExitStatus=42`": End(
        42, unit("SuccessAction=exit SuccessActionExitStatus=42", "exit 0")
    ),
    "`FailureAction=exit`, the unit ends with 7": End(7, unit("FailureAction=exit", "exit 7")),
    "the same with `FailureActionExitStatus=9`": End(9, unit("FailureAction=exit FailureActionExitStatus=9", "exit 7")),
    "`FailureAction=exit`, the unit ends by SIGKILL": End(255, unit("FailureAction=exit", "kill -KILL $$$$")),
    "`FailureAction=poweroff`, the unit ends with 7": End(0, unit("FailureAction=poweroff", "exit 7")),
    "`systemctl poweroff`": End(0, "systemctl poweroff"),
    "`systemctl reboot`": End(0, "systemctl reboot"),
    "`systemctl halt`": End(0, "systemctl halt"),
    "`systemctl kexec`": End(None, "systemctl kexec"),
    "`systemctl poweroff --force --force`": End(None, "systemctl poweroff --force --force"),
    "`systemctl emergency`": End(None, "systemctl emergency"),
    "PID 1 crashes (SIGSEGV from outside)": End(255, signal=SEGV),
    "PID 1 gets SIGKILL from outside": End(137, signal=KILL),
    "PID 1 gets SIGRTMIN+3 from outside": End(0, signal=SIGRTMIN + 3),
    "the engine stops it": End(0, stop=True),
}
# What a Job, a restart policy or a script depends on.
DEPENDED_ON = [
    "`systemctl exit 3`",
    "`SuccessAction=exit`, the unit ends with 0",
    "the same with `SuccessActionExitStatus=42`",
    "`FailureAction=exit`, the unit ends with 7",
    "`FailureAction=exit`, the unit ends by SIGKILL",
    "`systemctl poweroff`",
    "`systemctl reboot`",
    "PID 1 crashes (SIGSEGV from outside)",
    "the engine stops it",
]


def end_pod(guest: Guest, end: End) -> int | None:
    """Have a pod's booted container end; the exit code that CRI has then, None if it runs on."""
    if end.stop:
        guest.stop(TO_END)
    elif end.signal:
        guest.where.engine.node.run("kill", f"-{end.signal}", str(guest.where.engine.cri.info(guest.id)["pid"]))
    else:
        with suppress(grpc.RpcError):  # the container may be gone before its answer
            guest.exec("sh", "-c", end.command)
    return guest.status.exit_code if guest.wait_exited(limit(end)) else None


def limit(end: End) -> float:
    """Seconds to wait for it."""
    return TO_GO_ON if end.code is None else TO_END


def ended(over: Callable[[], bool], end: End) -> bool:
    """Wait for a container to be over; whether it is."""
    return until(lambda: str(over()), "True".__eq__, limit(end)) == "True"
