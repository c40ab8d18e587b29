"""A node: a root file system with a container runtime, in mount and PID namespaces of its own on this machine.

Law: a node leaves nothing behind. Its mounts and processes end with it, and it ends with the process that started it.
"""

import os
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import IO, Self

from tests.e2e.lab.rootfs import CACHE, LabError, RootFS

SOURCE = Path(__file__).parents[3]
SCRIPT = Path(__file__).with_name("node.sh")
PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"


class Node:
    """Commands run in it by `run`; its files are seen from outside by `path`; its containers are in `cgroup`."""

    def __init__(self, rootfs: RootFS) -> None:
        self.rootfs = rootfs
        self.launcher = "/usr/bin/oci-systemd-runtime"
        self.cgroup = f"lab-{os.getpid()}-{rootfs.name}"
        self._process = self._start()
        self._root = Path("/proc", self._pid(), "root")

    def _start(self) -> subprocess.Popen[str]:
        enter = ["unshare", "--mount", "--pid", "--fork", "--kill-child", "--propagation", "private"]
        become = ["bash", str(SCRIPT), str(self.rootfs.path), str(CACHE), str(SOURCE), self.cgroup]
        # A session of its own: an interrupt from the keyboard must not end it before it has cleaned up.
        pipe = subprocess.PIPE
        return subprocess.Popen([*enter, *become], stdin=pipe, stdout=pipe, text=True, start_new_session=True)

    def _pid(self) -> str:
        assert self._process.stdout
        pid = self._process.stdout.readline().strip()
        if not pid:
            raise LabError(
                f"no node from '{self.rootfs.path}': mount and PID namespaces are refused here, or it has no cgroup v2"
            )
        return pid

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        self._process.communicate("")

    def path(self, inside: str | Path) -> Path:
        """Where this process finds what the node calls INSIDE."""
        return self._root / str(inside).lstrip("/")

    def command(self, words: Sequence[str]) -> list[str]:
        return ["nsenter", "--target", self._root.parent.name, "--mount", "--pid", "--root", "--wd", "--", *words]

    def run(
        self, *words: str, check: bool = True, env: Mapping[str, str] | None = None, output: IO[bytes] | None = None
    ) -> subprocess.CompletedProcess[str]:
        """Run WORDS in the node. With OUTPUT what they and their children say goes there, and nothing waits for them."""
        target = output or subprocess.PIPE
        done = subprocess.run(
            self.command(words),
            env={"PATH": PATH, "LC_ALL": "C"} | dict(env or {}),
            stdin=subprocess.DEVNULL,
            stdout=target,
            stderr=target,
            text=True,
            timeout=120,
        )
        if check and done.returncode:
            raise LabError(
                f"'{' '.join(words)}' ended with {done.returncode}: {(done.stdout or '') + (done.stderr or '')}"
            )
        return done

    def install(self) -> None:
        """Install this source tree as a user would, and a settings file where the hierarchy is mounted without nsdelegate."""
        runtime = self.run("sh", "-c", "command -v runc").stdout.strip()
        install = ["make", "-C", "/source", "install", "PREFIX=/usr", f"RUNTIME={runtime}"]
        # What a container's start needs is the standard library: the command line's dependencies stay out of the node.
        self.run(*install, "PYTHON=/usr/bin/python3", "DEPENDENCIES=no")
        if not self.nsdelegate():
            settings = self.path("/etc/oci-systemd/config.toml")
            settings.parent.mkdir(parents=True, exist_ok=True)
            settings.write_text("[cgroup]\nrequire_nsdelegate = false\n")

    def nsdelegate(self) -> bool:
        mounts = (line.split(" - ") for line in self.path("/proc/1/mountinfo").read_text().splitlines())
        return any(" /sys/fs/cgroup " in place and "nsdelegate" in what for place, what in mounts)
