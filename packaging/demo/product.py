"""Install this source tree in a temporary directory for the demo. Nothing on the machine changes."""

import os
import subprocess
import sys
from pathlib import Path

from screen import Broken

SOURCE = Path(__file__).parents[2]


def install(prefix: Path, runtime: str) -> Path:
    """Return the directory of the installed commands."""
    words = ["make", "-C", str(SOURCE), "install", f"PREFIX={prefix}", "DESTDIR=", f"RUNTIME={runtime}"]
    words += [f"PYTHON={sys.executable}", f"VENV={venv(prefix)}"]
    done = subprocess.run(words, capture_output=True, text=True)
    if done.returncode:
        raise Broken(f"cannot install into '{prefix}':\n{done.stdout}{done.stderr}")
    return prefix / "bin"


def venv(prefix: Path) -> Path:
    """Return the source tree's environment; a temporary one for root in another user's tree, who could not use it afterwards."""
    return (SOURCE if SOURCE.stat().st_uid == os.geteuid() else prefix) / ".venv"
