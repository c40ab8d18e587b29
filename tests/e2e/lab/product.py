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
from tests.e2e.lab.silence import noise

HOME = "/opt/oci-systemd"
OUT = SOURCE / "build"


def call_make(*words: str, source: Path = SOURCE, **environment: str) -> subprocess.CompletedProcess[str]:
    """Call make as a user does, without the variables of an outer make."""
    inherited = {name: value for name, value in os.environ.items() if not name.startswith(("MAKE", "MFLAGS"))}
    command = ["make", "-C", str(source), *words]
    with noise():
        return subprocess.run(command, env=inherited | environment, capture_output=True, text=True)


def make(*words: str, out: Path = OUT, fresh: bool = False) -> str:
    """Build into OUT and return make's output. With FRESH, Debian's packages are downloaded again."""
    if not fresh and out != OUT:
        lend(out)
    done = call_make(f"PYTHON={sys.executable}", f"BUILD={out}", *words)
    if done.returncode:
        raise LabError(f"{' '.join(words)} ended with {done.returncode}:\n{done.stdout}{done.stderr}")
    return done.stdout


def lend(out: Path) -> None:
    """Give a build in OUT what an earlier one has unpacked of Debian's packages: a marker beside a tree says that it is whole."""
    for marker in (OUT / "bundle").glob(".base-*.packages"):
        (out / "bundle").mkdir(parents=True, exist_ok=True)
        subprocess.run(["cp", "--archive", marker.with_suffix(""), marker, out / "bundle"], check=True)


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
