"""Programs of this machine, asked for their version or told to do something. Nothing here waits longer than its bound."""

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

PATIENCE = 10.0  # seconds that a program may take to say something
RESTART = 120.0  # seconds that a service may take to restart
LONGEST = 4 << 20  # bytes that a program may print
COMPLAINT = 400  # characters of a complaint that a sentence quotes
SETTLED = 3.0  # seconds after which a service that is up stays so
# Another root's systemd is asked by its bus: systemctl of root would use systemd's private socket, and refuses that where it cannot
# see the process at its other end, in another PID namespace (systemd, bus-util.c, bus_check_peercred).
BUS = ("busctl", "--system")
SYSTEMD = "org.freedesktop.systemd1"
PLACE = "/org/freedesktop/systemd1"
_VERSION = re.compile(r"\d+\.\d+(?:\.\d+)*")


class Said(NamedTuple):
    """What a program printed, the last line of its complaint where it failed, and whether it printed anything to stderr."""

    output: str
    complaint: str = ""
    is_noted: bool = False


def ask(words: Sequence[str], root: str | Path = "/") -> Said | None:
    """What a program says within PATIENCE; None where it cannot be run, takes longer, or prints more than LONGEST."""
    try:
        done = _run(words, root, PATIENCE, longest=LONGEST)
    except (OSError, subprocess.SubprocessError):
        return None
    if len(done.stdout) >= LONGEST:
        return None
    last = (done.stderr.strip() or f"it ended with {done.returncode}").splitlines()[-1]
    return Said(done.stdout, last[:COMPLAINT] if done.returncode else "", bool(done.stderr))


def output(words: Sequence[str], root: str | Path = "/") -> str | None:
    """What a program prints; None where it cannot be run, takes too long or fails. `root`: where it is run, as root only."""
    said = ask(words, root)
    return said.output if said and not said.complaint else None


def version(program: str, root: str | Path = "/") -> str:
    """The version that `program --version` tells, such as 2.1.9; "" where it does not."""
    return version_in(output([program, "--version"], root) or "")


def version_in(said: str) -> str:
    """The first version in what a program says; "" where there is none."""
    found = _VERSION.search(said)
    return found[0] if found else ""


def check_systemd(command: str, root: Path = Path("/")) -> None:
    """A Problem where no systemd runs at `root` that could do `command` (sd_booted(3)), or its unit does not run: it may be that
    somebody stopped it, or that the engine runs by another one."""
    if not (root / "run/systemd/system").is_dir():
        where = "here" if root == Path("/") else f"below {root}"
        raise Problem(f"systemd does not run {where}: leave --restart out, and do then what `{command}` would")
    unit = command.split()[-1]
    if _state(unit, root).active == "inactive":
        raise Problem(f"{unit} does not run: leave --restart out, and start it; it reads its files then")


def restart(command: str, root: Path = Path("/")) -> None:
    """Have the systemd of `root` do `systemctl VERB UNIT`, and wait until the unit stays up. A Problem where it does not."""
    _, verb, unit = command.split()
    words = command.split() if root == Path("/") else [*BUS, "call", SYSTEMD, PLACE, *_method(verb, unit)]
    before = _state(unit, root)
    try:
        done = _run(words, root, RESTART)
    except (OSError, subprocess.SubprocessError) as error:
        raise Problem(f"`{command}` cannot be run: {error}") from None
    if done.returncode:
        raise Problem(f"`{command}` failed: {done.stderr.strip() or f'it ended with {done.returncode}'}")
    _settle(unit, root, before if verb == "restart" else State())


class State(NamedTuple):
    """A unit's ActiveState and SubState, and when its main process was started (systemd, org.freedesktop.systemd1(5))."""

    active: str = ""
    sub: str = ""
    started: str = ""

    @property
    def has_failed(self) -> bool:
        """With Restart= a unit that fails is hardly ever seen as failed: it waits for its next start."""
        return self.active == "failed" or self.sub == "auto-restart"


def _settle(unit: str, root: Path, before: State) -> None:
    """Wait until `unit`, started anew since `before`, stays up: one that reads a wrong file ends at once, and is started again."""
    last, end = State(), time.monotonic() + RESTART
    while time.monotonic() < end:
        state = _state(unit, root)
        if state == last and state.active == "active" and state.started != before.started:
            return
        if state.has_failed:
            break
        last = state
        time.sleep(SETTLED)
    raise Problem(f"{unit} does not stay up after its restart: see `journalctl -u {unit}`")


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
    """The value of a unit's property, without its type and quotes; "" where it is not told."""
    label = "".join(each if each.isascii() and each.isalnum() else f"_{ord(each):02x}" for each in f"{unit}.service")
    words = [*BUS, "get-property", SYSTEMD, f"{PLACE}/unit/{label}", f"{SYSTEMD}.{interface}", name]
    return (output(words, root) or "").strip().partition(" ")[2].strip('"')


def _run(words: Sequence[str], root: str | Path, limit: float, longest: int = 0) -> subprocess.CompletedProcess[str]:
    """Run a program of the machine at `root`, as one of its own; without chroot(1), which an image of ours has not. No file that it
    writes, its output neither, grows beyond `longest` bytes, where that is given."""
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
