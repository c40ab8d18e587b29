"""Programs of this machine, asked for their version or told to do something. Nothing here waits longer than its bound."""

from __future__ import annotations

import os
import re
import subprocess
import time
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from oci_systemd.core.errors import Problem

if TYPE_CHECKING:
    from collections.abc import Sequence

PATIENCE = 10.0  # seconds that a program may take to say something
RESTART = 120.0  # seconds that a service may take to restart
SETTLED = 3.0  # seconds after which a service that is up stays so
_VERSION = re.compile(r"\d+\.\d+(?:\.\d+)*")


def output(words: Sequence[str], root: str | Path = "/") -> str | None:
    """What a program prints; None where it cannot be run, takes too long or fails. `root`: where it is run, as root only."""
    try:
        done = _run(words, root, PATIENCE)
    except (OSError, subprocess.SubprocessError):
        return None
    return done.stdout if done.returncode == 0 else None


def version(program: str, root: str | Path = "/") -> str:
    """The version that `program --version` tells, such as 2.1.9; "" where it does not."""
    return version_in(output([program, "--version"], root) or "")


def version_in(said: str) -> str:
    """The first version in what a program says; "" where there is none."""
    found = _VERSION.search(said)
    return found[0] if found else ""


def check_systemd(command: str, root: Path = Path("/")) -> None:
    """A Problem where no systemd runs at `root` that could do `command` (sd_booted(3))."""
    if not (root / "run/systemd/system").is_dir():
        where = "here" if root == Path("/") else f"below {root}"
        raise Problem(f"systemd does not run {where}: leave --restart out, and do then what `{command}` would")


def restart(command: str, root: Path = Path("/")) -> None:
    """Run `systemctl …` of the machine at `root`, and wait until the unit stays up. A Problem where that fails."""
    try:
        done = _run(command.split(), root, RESTART)
    except (OSError, subprocess.SubprocessError) as error:
        raise Problem(f"`{command}` cannot be run: {error}") from None
    if done.returncode:
        raise Problem(f"`{command}` failed: {done.stderr.strip() or f'it ended with {done.returncode}'}")
    _settle(command.split()[-1], root)


def _settle(unit: str, root: Path) -> None:
    """Wait until `unit` has been active for SETTLED seconds without another start: one that reads a wrong file ends at once."""
    before, end = "", time.monotonic() + RESTART
    while time.monotonic() < end:
        state = output(["systemctl", "show", "--property=ActiveState,MainPID", unit], root) or ""
        if state == before and "ActiveState=active\n" in state:
            return
        if "ActiveState=failed\n" in state:
            break
        before = state
        time.sleep(SETTLED)
    raise Problem(f"{unit} does not stay up after its restart: see `journalctl -u {unit}`")


def _run(words: Sequence[str], root: str | Path, limit: float) -> subprocess.CompletedProcess[str]:
    """Run a program of the machine at `root`, as one of its own; without chroot(1), which an image of ours has not."""
    return subprocess.run(  # noqa: S603  # the words are ours or the node owner's
        words,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        timeout=limit,
        check=False,
        text=True,
        errors="replace",
        env=_environment(),
        preexec_fn=None if str(root) == "/" else partial(_enter, str(root)),
    )


def _enter(root: str) -> None:
    os.chroot(root)
    os.chdir("/")


def _environment() -> dict[str, str]:
    path = os.environ.get("PATH", os.defpath)
    return {
        "PATH": f"{path}:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
        "LC_ALL": "C",
        "SYSTEMD_IGNORE_CHROOT": "1",  # systemctl speaks to the systemd of that root, by its socket there
        **({"HOME": os.environ["HOME"]} if "HOME" in os.environ else {}),
    }
