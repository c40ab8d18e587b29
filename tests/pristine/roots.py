"""A pristine root: Debian's minimum with git and make, an ordinary user, and a clone."""

import shutil
import subprocess
from pathlib import Path
from typing import IO

from tests.e2e.lab.node import SOURCE, Node
from tests.e2e.lab.rootfs import CACHE, LabError, RootFS
from tests.pristine import network

INCLUDE = ("make", "git", "ca-certificates")
ROOTS = {"12": RootFS("pristine-12", "bookworm", INCLUDE), "13": RootFS("pristine-13", "trixie", INCLUDE)}
# pip's downloads, in both of its formats; every root makes its own builds.
FETCHED = CACHE / "pristine-pip"
FORMATS = ("http", "http-v2")
CLONE = "oci-systemd"
HOMES = {"root": "/root", "user": "/home/user"}
# As login(1) sets it (ENV_SUPATH and ENV_PATH of login.defs).
PATHS = {
    "root": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
    "user": "/usr/local/bin:/usr/bin:/bin:/usr/local/games:/usr/games",
}
LIMIT = 900.0


def clone(place: Path) -> None:
    """A fresh clone of this source tree's HEAD at PLACE."""
    words = ["git", "-c", "safe.directory=*", "clone", "--quiet", "--no-hardlinks", str(SOURCE), str(place)]
    done = subprocess.run(words, stderr=subprocess.PIPE, text=True)
    if done.returncode:
        raise LabError(f"'{SOURCE}' could not be cloned: {done.stderr.strip()}")


class Root(Node):
    """Lines are typed in it by `type`."""

    def __init__(self, rootfs: RootFS, source: Path, owner: str) -> None:
        for each in FORMATS:
            (FETCHED / each).mkdir(parents=True, exist_ok=True)
        caches = [f"{FETCHED}/{each}:/root/.cache/pip/{each}:rw" for each in FORMATS]
        self.mounts = [":/dev/shm:mode=1777", *caches, *network.folders(rootfs.path)]
        super().__init__(rootfs)
        try:
            self._furnish(source, owner)
        except BaseException:
            self.close()
            raise

    def _furnish(self, source: Path, owner: str) -> None:
        """What a fresh machine has beside packages: the network, an ordinary user, and the clone in the home of OWNER."""
        network.configure(self.path("/"))
        self.directory = f"{HOMES[owner]}/{CLONE}"
        self.run("useradd", "--create-home", "--shell", "/bin/bash", "user")
        shutil.copytree(source, self.path(self.directory), symlinks=True)
        self.run("chown", "-R", f"{owner}:", self.directory)

    def type(self, line: str, log: IO[bytes]) -> int:
        """Type LINE, which begins with its prompt, in the clone. Return its exit code, and append its output to LOG."""
        prompt, _, command = line.partition(" ")
        user = {"#": "root", "$": "user"}[prompt]
        environ = network.environ() | {
            "HOME": HOMES[user],
            "USER": user,
            "LOGNAME": user,
            "SHELL": "/bin/bash",
            "PATH": PATHS[user],
            "DEBIAN_FRONTEND": "noninteractive",  # nobody is there who could answer
        }
        become = ["runuser", "-u", user, "--", "env", "-i", *(f"{name}={text}" for name, text in environ.items())]
        words = self.command([*become, "sh", "-ec", f"cd {self.directory}; {command}"])
        return subprocess.run(words, stdin=subprocess.DEVNULL, stdout=log, stderr=log, timeout=LIMIT).returncode
