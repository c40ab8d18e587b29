"""This source tree, installed for the length of the demo under a directory of its own: nothing on the machine changes."""

import os
import subprocess
import sys
from pathlib import Path

from screen import Broken

SOURCE = Path(__file__).parents[2]


def install(prefix: Path, runtime: str) -> Path:
    """The directory of the installed commands."""
    words = ["make", "-C", str(SOURCE), "install", f"PREFIX={prefix}", "DESTDIR=", f"RUNTIME={runtime}"]
    words += [f"PYTHON={sys.executable}", f"VENV={venv(prefix)}"]
    done = subprocess.run(words, capture_output=True, text=True)
    if done.returncode:
        raise Broken(f"it could not be installed into '{prefix}':\n{done.stdout}{done.stderr}")
    return prefix / "bin"


def venv(prefix: Path) -> Path:
    """The source tree's own, but for root in somebody else's tree, who could no longer use it there."""
    return (SOURCE if SOURCE.stat().st_uid == os.geteuid() else prefix) / ".venv"
