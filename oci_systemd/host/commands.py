"""Run programs of this machine: ask for a version, restart a service. Every call has a time limit."""

from __future__ import annotations

import os
import re
import resource
import subprocess
import time
from functools import partial
from pathlib import Path
from typing import IO, TYPE_CHECKING, NamedTuple

from oci_systemd.core.errors import Problem

if TYPE_CHECKING:
    from collections.abc import Sequence

PATIENCE = 10.0  # seconds that a program may take to answer
RESTART = 120.0  # seconds that a service may take to restart
LONGEST = 4 << 20  # bytes that a program may print
COMPLAINT = 400  # characters of an error message that are quoted
SETTLED = 3.0  # seconds after which a running service counts as stable
# For another root, D-Bus is used: systemctl of root uses systemd's private socket, and refuses a process in another PID namespace
# at its other end (systemd, bus-util.c, bus_check_peercred).
BUS = ("busctl", "--system")
SYSTEMD = "org.freedesktop.systemd1"
PLACE = "/org/freedesktop/systemd1"
_VERSION = re.compile(r"\d+\.\d+(?:\.\d+)*")


class Said(NamedTuple):
    """A program's output, the last line of its error message if it failed, and whether it printed anything to stderr."""

    output: str
    complaint: str = ""
    is_noted: bool = False


def ask(words: Sequence[str], root: str | Path = "/") -> Said | None:
    """Return what a program says within PATIENCE; None if it cannot run, takes longer, or prints more than LONGEST."""
    try:
        done = _run(words, root, PATIENCE, longest=LONGEST)
    except (OSError, subprocess.SubprocessError):
        return None
    if len(done.stdout) >= LONGEST:
        return None
    last = (done.stderr.strip() or f"exit status {done.returncode}").splitlines()[-1]
    return Said(done.stdout, last[:COMPLAINT] if done.returncode else "", bool(done.stderr))


def output(words: Sequence[str], root: str | Path = "/") -> str | None:
    """Return a program's output; None if it cannot run, takes too long or fails. `root` is where it runs, for root only."""
    said = ask(words, root)
    return said.output if said and not said.complaint else None


def version(program: str, root: str | Path = "/") -> str:
    """Return the version from `program --version`, such as 2.1.9; "" if there is none."""
    return version_in(output([program, "--version"], root) or "")


def version_in(said: str) -> str:
    """Return the first version in a program's output; "" if there is none."""
    found = _VERSION.search(said)
    return found[0] if found else ""


def check_systemd(command: str, root: Path = Path("/")) -> None:
    """Raise a Problem if no systemd runs at `root` (sd_booted(3)), or the unit in `command` is stopped. It may have been stopped on
    purpose, or the engine may run as another unit."""
    if not (root / "run/systemd/system").is_dir():
        where = "here" if root == Path("/") else f"below {root}"
        raise Problem(
            f"systemd is not running {where}; leave out --restart, and restart the engine yourself (`{command}`)"
        )
    unit = command.split()[-1]
    if _state(unit, root).active == "inactive":
        raise Problem(f"{unit}: not running; leave out --restart, and start it: it reads its files then")


def restart(command: str, root: Path = Path("/")) -> None:
    """Run `systemctl VERB UNIT` with the systemd of `root`, and wait until the unit stays up. Raise a Problem if it does not."""
    _, verb, unit = command.split()
    words = command.split() if root == Path("/") else [*BUS, "call", SYSTEMD, PLACE, *_method(verb, unit)]
    before = _state(unit, root)
    try:
        done = _run(words, root, RESTART)
    except (OSError, subprocess.SubprocessError) as error:
        raise Problem(f"`{command}`: cannot run: {error}") from None
    if done.returncode:
        raise Problem(f"`{command}` failed: {done.stderr.strip() or f'exit status {done.returncode}'}")
    _settle(unit, root, before if verb == "restart" else State())


class State(NamedTuple):
    """A unit's ActiveState, SubState, and the start time of its main process (systemd, org.freedesktop.systemd1(5))."""

    active: str = ""
    sub: str = ""
    started: str = ""

    @property
    def has_failed(self) -> bool:
        """With Restart= a failing unit is rarely in the state failed: it waits for its next start."""
        return self.active == "failed" or self.sub == "auto-restart"


def _settle(unit: str, root: Path, before: State) -> None:
    """Wait until `unit`, restarted after `before`, stays up. With an invalid file it exits at once, and is started again."""
    last, end = State(), time.monotonic() + RESTART
    while time.monotonic() < end:
        state = _state(unit, root)
        if state == last and state.active == "active" and state.started != before.started:
            return
        if state.has_failed:
            break
        last = state
        time.sleep(SETTLED)
    raise Problem(f"{unit}: does not stay up after the restart; see `journalctl -u {unit}`")


def _state(unit: str, root: Path) -> State:
    if root == Path("/"):
        said = (
            output(["systemctl", "show", "--property=ActiveState,SubState,ExecMainStartTimestampMonotonic", unit]) or ""
        )
        values = dict(line.partition("=")[::2] for line in said.splitlines())
        names = ("ActiveState", "SubState", "ExecMainStartTimestampMonotonic")
        return State(*(values.get(name, "") for name in names))
    active, sub = (_property(unit, "Unit", name, root) for name in ("ActiveState", "SubState"))
    return State(active, sub, _property(unit, "Service", "ExecMainStartTimestampMonotonic", root))


def _method(verb: str, unit: str) -> list[str]:
    return [f"{SYSTEMD}.Manager", f"{verb.capitalize()}Unit", "ss", f"{unit}.service", "replace"]


def _property(unit: str, interface: str, name: str, root: Path) -> str:
    """Return a unit's property, without type and quotes; "" if unknown."""
    label = "".join(each if each.isascii() and each.isalnum() else f"_{ord(each):02x}" for each in f"{unit}.service")
    words = [*BUS, "get-property", SYSTEMD, f"{PLACE}/unit/{label}", f"{SYSTEMD}.{interface}", name]
    return (output(words, root) or "").strip().partition(" ")[2].strip('"')


def _run(words: Sequence[str], root: str | Path, limit: float, longest: int = 0) -> subprocess.CompletedProcess[str]:
    """Run a program of the machine at `root`, without chroot(1), which our image does not have. With `longest`, no file that the
    program writes, its output included, grows beyond that many bytes."""
    with _memory("stdout") as out, _memory("stderr") as err:
        done = subprocess.run(  # noqa: S603  # the words are ours or the node owner's
            words,
            stdin=subprocess.DEVNULL,
            stdout=out,
            stderr=err,
            timeout=limit,
            check=False,
            env=_environment(),
            preexec_fn=partial(_enter, str(root), longest) if longest or str(root) != "/" else None,
        )
        return subprocess.CompletedProcess(words, done.returncode, *(_text(each) for each in (out, err)))


def _memory(name: str) -> IO[bytes]:
    return os.fdopen(os.memfd_create(f"oci-systemd-{name}"), "w+b")


def _text(file: IO[bytes]) -> str:
    file.seek(0)
    return file.read().decode(errors="replace")


def _enter(root: str, longest: int) -> None:
    if longest:
        resource.setrlimit(resource.RLIMIT_FSIZE, (longest, longest))
    if root != "/":
        os.chroot(root)
        os.chdir("/")


def _environment() -> dict[str, str]:
    path = os.environ.get("PATH", os.defpath)
    return {
        "PATH": f"{path}:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
        "LC_ALL": "C",
        **({"HOME": os.environ["HOME"]} if "HOME" in os.environ else {}),
    }
