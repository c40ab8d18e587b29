"""A node: a root file system with container engines, in mount, PID and cgroup namespaces of its own on this machine.

Law: a node leaves nothing behind. Its mounts, processes and cgroups end with it, and it ends with the process that started it.
"""

import hashlib
import os
import shutil
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import IO

from tests.e2e.lab.closing import Closing
from tests.e2e.lab.rootfs import CACHE, LabError, RootFS, clear, locked

SOURCE = Path(__file__).parents[3]
SCRIPT = Path(__file__).with_name("node.sh")
WITHOUT_LIMITS = Path(__file__).with_name("without-limits.sh")
SITE = "/opt/site"  # where a node has what the command line needs
PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
# An overlay cannot hold the upper directory of another one, and cannot be mounted with other owners (idmapped).
OWN = [f":/var/lib/{each}:mode=755" for each in ("containerd", "containers", "docker", "kubelet")]
# Enters the cgroup named first, from outside of the namespaces, and becomes the rest.
ENTER = 'echo $$ >"$0" && exec "$@"'


class Node(Closing):
    """Commands run in it by `run`; its files are seen from outside by `path`; its containers are below its /sys/fs/cgroup."""

    mounts: Sequence[str] = (*OWN, f"{CACHE}:/lab:ro", f"{SOURCE}:/source:ro")
    """Its mounts, in the form that node.sh reads."""

    def __init__(self, rootfs: RootFS) -> None:
        self.rootfs = rootfs
        self.launcher = "/usr/bin/oci-systemd-runtime"
        self._daemons: list[subprocess.Popen[bytes]] = []
        self._process = self._start()
        self._root = Path("/proc", self._pid(), "root")

    def _start(self) -> subprocess.Popen[str]:
        cgroup = f"lab-{os.getpid()}-{self.rootfs.name}-{id(self):x}"
        (work := CACHE / ".node").mkdir(exist_ok=True)
        become = ["bash", str(SCRIPT), str(self.rootfs.path), str(work), cgroup, *self.mounts]
        # A session of its own: an interrupt from the keyboard must not end it before it has cleaned up.
        pipe = subprocess.PIPE
        return subprocess.Popen(become, stdin=pipe, stdout=pipe, text=True, start_new_session=True)

    def _pid(self) -> str:
        assert self._process.stdout
        pid = self._process.stdout.readline().strip()
        if not pid:
            raise LabError(
                f"no node from '{self.rootfs.path}': mount, PID and cgroup namespaces are refused here, or it has no cgroup v2"
            )
        return pid

    def close(self) -> None:
        self._process.communicate("")
        for daemon in self._daemons:
            daemon.wait()

    def path(self, inside: str | Path) -> Path:
        """Where this process finds what the node calls INSIDE."""
        return self._root / str(inside).lstrip("/")

    def command(self, words: Sequence[str]) -> list[str]:
        cgroup = str(self.path("/sys/fs/cgroup/node/cgroup.procs"))
        namespaces = ["--mount", "--uts", "--pid", "--cgroup", "--root", "--wd"]
        return ["sh", "-c", ENTER, cgroup, "nsenter", "--target", self._root.parent.name, *namespaces, "--", *words]

    def run(
        self, *words: str, check: bool = True, env: Mapping[str, str] | None = None, output: IO[bytes] | None = None
    ) -> subprocess.CompletedProcess[str]:
        """Run WORDS in the node. With OUTPUT their output and that of their children goes there, and nothing waits for them."""
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

    def start(self, *words: str, log: str) -> None:
        """Start WORDS as a daemon. Its output is added to LOG; its process ID in the node is in LOG with `.pid` behind."""
        keep = f'echo $$ >{log}.pid; exec "$@"'
        with self.path(log).open("ab") as output:
            daemon = subprocess.Popen(
                self.command(["sh", "-c", keep, "sh", *words]),
                env={"PATH": PATH, "LC_ALL": "C"},
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                start_new_session=True,
            )
        self._daemons.append(daemon)

    def stop(self, log: str) -> None:
        """Stop the daemon that writes LOG, and wait for its end. Its children keep running."""
        self.run("sh", "-c", f"kill $(cat {log}.pid); while kill -0 $(cat {log}.pid); do sleep 0.05; done 2>/dev/null")

    # Installing in it

    def install(self) -> None:
        """Install this source tree as a user would, and a settings file where the hierarchy is mounted without nsdelegate."""
        runtime = self.run("sh", "-c", "command -v runc").stdout.strip()
        install = ["make", "-C", "/source", "install", "PREFIX=/usr", f"RUNTIME={runtime}"]
        self.run(*install, "PYTHON=/usr/bin/python3", "DEPENDENCIES=no", f"SITE={SITE}")
        version = self.run("python3", "-c", "import sys; print('%d.%d' % sys.version_info[:2])").stdout.strip()
        install_dependencies(self.path(SITE), version)
        if not self.nsdelegate():
            settings = self.path("/etc/oci-systemd/config.toml")
            settings.parent.mkdir(parents=True, exist_ok=True)
            settings.write_text("[cgroup]\nrequire_nsdelegate = false\n")

    def spare_limits(self) -> None:
        """Where the v2 hierarchy lacks the controllers for limits, let the runtimes be ones that drop them."""
        if {"cpu", "memory", "pids"} <= set(self.path("/sys/fs/cgroup/cgroup.controllers").read_text().split()):
            return
        for runtime in ("runc", "crun"):
            shutil.copy(WITHOUT_LIMITS, self.path(f"/usr/local/sbin/{runtime}"))

    def nsdelegate(self) -> bool:
        mounts = (line.split(" - ") for line in self.path("/proc/1/mountinfo").read_text().splitlines())
        return any(" /sys/fs/cgroup " in place and "nsdelegate" in what for place, what in mounts)


def install_dependencies(place: Path, version: str) -> None:
    """What the command line needs, for a Python of VERSION, by this machine's pip: a node has none, and no network to count on.

    pip is asked once for each version and lock file; the cache has the rest.
    """
    lock = SOURCE / "packaging/locks/runtime.txt"
    name = f"site-{version}-{hashlib.sha256(lock.read_bytes()).hexdigest()[:16]}"
    with locked(name):
        if not (CACHE / name).exists():
            clear(beside := CACHE / f".{name}.new")
            _fetch_dependencies(beside, version, lock)
            beside.rename(CACHE / name)
    shutil.copytree(CACHE / name, place, dirs_exist_ok=True)


def _fetch_dependencies(place: Path, version: str, lock: Path) -> None:
    pip = [sys.executable, "-m", "pip", "install", "--target", str(place), "--no-compile", "--python-version", version]
    done = subprocess.run(
        [*pip, "--only-binary=:all:", "--require-hashes", "-r", str(lock)], capture_output=True, text=True
    )
    if done.returncode:
        raise LabError(f"pip could not get what {lock} names for Python {version}:\n{done.stderr.strip()}")
