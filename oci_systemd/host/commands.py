"""Programs of this machine, asked for their version or told to do something. Nothing here waits longer than its bound."""

from __future__ import annotations

import os
import re
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING

from oci_systemd.core.errors import Problem

if TYPE_CHECKING:
    from collections.abc import Sequence

PATIENCE = 10.0  # seconds that a program may take to say something
RESTART = 120.0  # seconds that a service may take to restart
_VERSION = re.compile(r"\d+\.\d+(?:\.\d+)*")


def output(words: Sequence[str], root: str | Path = "/") -> str | None:
    """What a program prints; None where it cannot be run, takes too long or fails. `root`: where it is run, as root only."""
    command = [*([] if str(root) == "/" else ["chroot", str(root)]), *words]
    try:
        done = subprocess.run(  # noqa: S603  # the words are ours or the node owner's
            command, stdin=subprocess.DEVNULL, capture_output=True, timeout=PATIENCE, check=False, env=_environment()
        )
    except (OSError, subprocess.SubprocessError):
        return None
    return done.stdout.decode(errors="replace") if done.returncode == 0 else None


def version(program: str, root: str | Path = "/") -> str:
    """The version that `program --version` tells, such as 2.1.9; "" where it does not."""
    return version_in(output([program, "--version"], root) or "")


def version_in(said: str) -> str:
    """The first version in what a program says; "" where there is none."""
    found = _VERSION.search(said)
    return found[0] if found else ""


def restart(command: str) -> None:
    """Run `systemctl …`. A Problem where that fails."""
    if not Path("/run/systemd/system").is_dir():
        raise Problem(f"systemd does not run here, so that nothing was told to the engine: do what `{command}` would")
    try:
        done = subprocess.run(  # noqa: S603  # the words are ours or the node owner's
            command.split(), stdin=subprocess.DEVNULL, capture_output=True, timeout=RESTART, check=False, text=True
        )
    except (OSError, subprocess.SubprocessError) as error:
        raise Problem(f"`{command}` cannot be run: {error}") from None
    if done.returncode:
        raise Problem(f"`{command}` failed: {done.stderr.strip() or f'it ended with {done.returncode}'}")


def _environment() -> dict[str, str]:
    path = os.environ.get("PATH", os.defpath)
    return {
        "PATH": f"{path}:/usr/sbin:/sbin",
        "LC_ALL": "C",
        **({"HOME": os.environ["HOME"]} if "HOME" in os.environ else {}),
    }
