"""The installed launcher in front of a fake real runtime that writes down its arguments."""

from __future__ import annotations

import atexit
import json
import os
import shutil
import subprocess
import sys
import tempfile
from functools import cache
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]
TEMPLATE = ROOT / "packaging" / "launcher" / "oci-systemd-runtime.in"
PYTHON = str(Path(sys.executable).resolve())
GREP = "/bin/grep"

# What a call was is read from /proc, where it stands as the kernel was given it. `state` prints what the test left for it.
FAKE_RUNTIME = """\
#!/bin/sh
d=@OUT@ p=/proc/$$ name=call
for word; do case $word in state) [ -s $d/state.json ] && name=state ;; esac; done
[ $name = call ] || { sleep "$(cat $d/state.delay)"; cat $d/state.json; }
cat $p/cmdline >$d/$name.cmdline
cat $p/environ >$d/$name.environ
cat $p/limits >$d/$name.limits
grep -E '^(Umask|SigIgn|SigBlk)' /proc/self/status >$d/$name.status
readlink $p/cwd >$d/$name.cwd
for f in $p/fd/*; do echo "${f##*/} $(readlink $f)"; done >$d/$name.fds
exit 7
"""


@cache
def library() -> str:
    """A private directory with the package, compiled as `make install` does it, for as long as the tests run."""
    folder = tempfile.mkdtemp(prefix="oci-systemd-lib-")
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    shutil.copytree(ROOT / "oci_systemd", Path(folder) / "oci_systemd", ignore=shutil.ignore_patterns("__pycache__"))
    log = Path(folder) / "oci_systemd" / "host" / "log.py"  # the machine's own journal hears nothing of a test
    log.write_text(log.read_text().replace("/run/systemd/journal/socket", f"{folder}/journal"))
    settings = Path(folder) / "oci_systemd" / "core" / "settings.py"  # nor does its log
    settings.write_text(settings.read_text().replace("/var/log/oci-systemd.log", f"{folder}/log"))
    booting = Path(folder) / "oci_systemd" / "host" / "booting.py"  # nor do its containers wait
    booting.write_text(booting.read_text().replace("/run/oci-systemd", f"{folder}/run"))
    subprocess.run([PYTHON, "-m", "compileall", "-q", "--invalidation-mode=unchecked-hash", folder], check=True)
    subprocess.run([PYTHON, ROOT / "packaging" / "install" / "freeze.py", folder], check=True)
    shutil.copy(ROOT / "packaging" / "launcher" / "damaged", folder)
    return folder


class Wrapper:
    """One installed wrapper in `folder`: `run` calls it, `direct` calls the fake runtime as an engine would without us."""

    def __init__(self, folder: Path, *, python: str = PYTHON, runtime: str = "") -> None:
        self.folder = folder
        self.out = folder / "out"
        self.out.mkdir()
        (self.out / "state.delay").write_text("0")
        (self.out / "state.json").write_text("")
        self.runtime = folder / "fake-runc"
        _script(self.runtime, FAKE_RUNTIME.replace("@OUT@", str(self.out)))
        self.settings = folder / "config.toml"
        self.log = folder / "log"
        self.configure("")
        self.path = folder / "oci-systemd-runtime"
        real = runtime or str(self.runtime)
        values = {"PYTHON": python, "LIB": library(), "SH": "/bin/sh", "GREP": GREP, "RUNTIME": real}
        text = TEMPLATE.read_text()
        for name, value in values.items():
            text = text.replace(f"@{name}@", value)
        text = text.replace("/run/oci-systemd", f"{library()}/run")
        # The usual settings file is this one, so that a test needs no variable in the environment for it.
        _script(self.path, text.replace("/etc/oci-systemd/config.toml", str(self.settings)))

    def configure(self, text: str) -> None:
        """The settings that a test wants."""
        self.settings.write_text(text)

    def bundle(self, spec: Any, name: str = "bundle") -> Path:
        folder = self.folder / name
        (folder / "rootfs").mkdir(parents=True)
        (folder / "config.json").write_text(json.dumps(spec))
        return folder

    def run(self, *words: str | Path, **options: Any) -> subprocess.CompletedProcess[str]:
        return _call(self.path, words, options, {"OCI_SYSTEMD_CONFIG": str(self.settings)})

    def direct(self, *words: str | Path, **options: Any) -> subprocess.CompletedProcess[str]:
        return _call(self.runtime, words, options, {"OCI_SYSTEMD_CONFIG": str(self.settings)})

    def words(self, name: str = "call") -> list[str] | None:
        """The words that the real runtime was given; None if it was not started."""
        path = self.out / f"{name}.cmdline"
        return path.read_text().split("\0")[2:-1] if path.exists() else None

    def seen(self) -> dict[str, str]:
        """Everything that the real runtime saw of its call, and forgets it."""
        found = {}
        for path in sorted(self.out.glob("call.*")):
            found[path.suffix] = path.read_text()
            path.unlink()
        return found


def _script(path: Path, text: str) -> None:
    path.write_text(text)
    path.chmod(0o755)


def _call(
    path: Path, words: tuple[str | Path, ...], options: dict[str, Any], environ: dict[str, str]
) -> subprocess.CompletedProcess[str]:
    settings: dict[str, Any] = {"capture_output": True, "text": True, "timeout": 60, "env": {**os.environ, **environ}}
    return subprocess.run([path, *words], check=False, **{**settings, **options})
