"""What `make` makes of this source tree for nodes: the self-contained tree and the image, each once for a test run.

Law: built as its user would, into a place of its own.
"""

import os
import shutil
import subprocess
import sys
from pathlib import Path

from tests.e2e.lab.node import SOURCE
from tests.e2e.lab.rootfs import LabError

HOME = "/opt/oci-systemd"
OUT = SOURCE / "build"


def make(*words: str, out: Path = OUT) -> str:
    """What make prints; what an outer make was told is not for this one."""
    inherited = {name: value for name, value in os.environ.items() if not name.startswith(("MAKE", "MFLAGS"))}
    words = ("make", "-C", str(SOURCE), f"PYTHON={sys.executable}", f"BUILD={out}", *words)
    done = subprocess.run(words, env=inherited, capture_output=True, text=True)
    if done.returncode:
        raise LabError(f"{' '.join(words)} ended with {done.returncode}:\n{done.stdout}{done.stderr}")
    return done.stdout


def tree(arch: str, out: Path = OUT) -> Path:
    """The root that holds the self-contained tree for an architecture."""
    return out / "bundle" / arch


def version(root: Path) -> str:
    """The version in a root, which has one."""
    (name,) = (each.name for each in (root / HOME.lstrip("/") / "versions").iterdir())
    return name


def put(root: Path, into: Path) -> None:
    """Copy the tree into another root, as unpacking it would."""
    shutil.copytree(root / "opt", into / "opt", symlinks=True, dirs_exist_ok=True)
