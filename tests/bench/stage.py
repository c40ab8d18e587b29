"""Where the bench plays: the wrapper installed into a temporary prefix, stand-ins for the runtime, bundles, a namespace.

Law: nothing of it stays, and the machine's log, journal and cgroups see nothing of it. That needs root; without root the
journal, where there is one, gets a line for each container adjusted.
"""

from __future__ import annotations

import compileall
import ctypes
import os
import shutil
import subprocess
import sys
from pathlib import Path
from py_compile import PycInvalidationMode

from oci_systemd.host.machine import this_host

HERE = Path(__file__).parent
ROOT = HERE.parent.parent
CLONE_NEWNS = 0x00020000  # sched.h
UNIFIED = Path("/sys/fs/cgroup/unified")  # systemd's place for cgroup v2 on a hybrid host
INTERPRETER = os.path.realpath(getattr(sys, "_base_executable", sys.executable))
# Settings files by the words that a row has for them.
SETTINGS = {
    "settings file": """\
# Written as an owner of nodes would.
[cgroup]
require_nsdelegate = true
max_descendants = 2000

[tmpfs]
size = "25%"

[machine_id]
source = "pod"

[log]
level = "info"
""",
    "dotted settings": """\
# Written as an owner of nodes would.
cgroup.require_nsdelegate = true
cgroup.max_descendants = 2000
tmpfs.size = "25%"
machine_id.source = "pod"
log.level = "info"
""",
}
# What systemd images have that the wrapper looks at: merged /usr, the links that mounts are followed through, an empty id.
LINKS = {
    "bin": "usr/bin",
    "lib": "usr/lib",
    "sbin": "usr/sbin",
    "usr/sbin/init": "../lib/systemd/systemd",
    "var/run": "/run",
    "var/lock": "/run/lock",
    "var/lib/dbus/machine-id": "/etc/machine-id",
}


def enter_own_mounts(scratch: Path) -> None:
    """Give this process its own mounts: cgroup v2 where systemd has it, log lines in `scratch`, and no journal."""
    if ctypes.CDLL(None, use_errno=True).unshare(CLONE_NEWNS):
        raise OSError(ctypes.get_errno(), "no mount namespace")
    _mount("--make-rprivate", "/")
    nothing = scratch / "nothing"
    nothing.mkdir()
    hidden = [place for place in (Path("/var/log"), Path("/run/systemd/journal")) if place.is_dir()]
    for place in hidden:
        _mount("--bind", str(nothing), str(place))
    if UNIFIED.is_dir() and not this_host().cgroup_v2:
        _mount("--bind", str(UNIFIED), "/sys/fs/cgroup")


def _mount(*words: str) -> None:
    subprocess.run([found("mount"), *words], check=True)


def found(program: str) -> str:
    """The absolute path of `program`; an error that names it where it is not there."""
    path = shutil.which(program)
    if path is None:
        raise SystemExit(f"the bench needs {program}; install it")
    return path


class Stage:
    """One temporary prefix: `launcher`, the bare script that is its floor, and the stub both come to.

    Programs are in `place`, bundles in `memory`: a tmpfs, as /run is where engines keep them, and it may be noexec.
    """

    def __init__(self, place: Path, memory: Path) -> None:
        self.place = place
        self.memory = memory
        self.stub = self.compiled("stub") or Path("/bin/true")
        self.meter = self.compiled("peak")
        self.lib = self._package()
        self.bare = self.script("bare", f'exec {self.stub} "$@"\n')
        self.settings = {name: place / f"config-{number}.toml" for number, name in enumerate(SETTINGS)}
        for name, path in self.settings.items():
            path.write_text(SETTINGS[name])
        self.launcher = self._launcher()

    def compiled(self, name: str, *options: str, source: str = "") -> Path | None:
        """The program that a C file here makes, static where that can be had; None without a compiler."""
        compiler = shutil.which("cc")
        if compiler is None:
            return None
        path = self.place / name
        words = [compiler, "-O2", *options, "-o", str(path), str(HERE / f"{source or name}.c")]
        if subprocess.run([*words, "-static"], capture_output=True, check=False).returncode:
            subprocess.run(words, check=True)
        return path

    def script(self, name: str, text: str) -> Path:
        path = self.place / name
        path.write_text("#!/bin/sh\n" + text)
        path.chmod(0o755)
        return path

    def _package(self) -> Path:
        lib = self.place / "lib"
        shutil.copytree(ROOT / "oci_systemd", lib / "oci_systemd", ignore=shutil.ignore_patterns("__pycache__"))
        compileall.compile_dir(lib, quiet=1, invalidation_mode=PycInvalidationMode.UNCHECKED_HASH)
        subprocess.run([INTERPRETER, ROOT / "packaging" / "install" / "freeze.py", lib], check=True)
        return lib

    def _launcher(self) -> Path:
        text = (ROOT / "packaging" / "launcher" / "oci-systemd-runtime.in").read_text()
        values = {
            "@PYTHON@": INTERPRETER,
            "@LIB@": self.lib,
            "@SH@": "/bin/sh",
            "@GREP@": found("grep"),
            "@RUNTIME@": self.stub,
        }
        for name, value in values.items():
            text = text.replace(name, str(value))
        path = self.place / "oci-systemd-runtime"
        path.write_text(text)
        path.chmod(0o755)
        return path

    def bundle(self, name: str, spec: bytes) -> Bundle:
        return Bundle(self.memory / name, spec, self._rootfs())

    def _rootfs(self) -> Path:
        root = self.memory / "rootfs"
        if root.is_dir():
            return root
        for folder in ("usr/bin", "usr/sbin", "usr/lib/systemd", "etc", "run", "tmp", "var/lib/dbus", "var/log"):
            (root / folder).mkdir(parents=True)
        (root / "usr/lib/systemd/systemd").write_bytes(b"\x7fELF")
        (root / "etc/machine-id").touch()
        for link, target in LINKS.items():
            (root / link).symlink_to(target)
        return root


class Bundle:
    """A bundle that can be made new again and again."""

    def __init__(self, place: Path, spec: bytes, rootfs: Path) -> None:
        self.place = place
        self.spec = spec
        self.config = place / "config.json"
        place.mkdir()
        (place / "rootfs").symlink_to(rootfs)
        self.restore()

    def restore(self) -> None:
        self.config.write_bytes(self.spec)

    @property
    def is_adjusted(self) -> bool:
        return b'"io.systemd.container.adjusted"' in self.config.read_bytes()
