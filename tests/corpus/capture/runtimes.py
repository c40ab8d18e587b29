"""Capture the config.json files that runc and crun write themselves.

    node.sh NODE LAB env PYTHONPATH=/lab python3 -m tests.corpus.capture.runtimes /lab/raw

In a node with runc and crun. The argument gets runc/CASE.json and crun/CASE.json.
"""

import shutil
import sys
import tempfile
from pathlib import Path

from tests.corpus.capture.record import run

CASES = {
    "runc/spec": ("runc", "spec"),
    "runc/rootless": ("runc", "spec", "--rootless"),
    "crun/spec": ("crun", "spec"),
    "crun/rootless": ("crun", "spec", "--rootless"),
}


def main() -> None:
    """Capture the cases."""
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    for case, command in CASES.items():
        target = Path(sys.argv[1], f"{case}.json")
        target.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory() as bundle:
            run("env", "-C", bundle, *command)
            shutil.copyfile(f"{bundle}/config.json", target)
        print(run(command[0], "--version").splitlines()[0], target)


if __name__ == "__main__":
    main()
