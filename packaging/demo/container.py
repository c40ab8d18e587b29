"""One container on a terminal: the bundle of `runc spec` with the few changes that an engine makes."""

import json
import os
import pty
import re
import subprocess
import termios
import threading
import time
from pathlib import Path
from typing import Any

# The engines' default capabilities.
CAPABILITIES = """CHOWN DAC_OVERRIDE FSETID FOWNER MKNOD NET_RAW SETGID SETUID SETFCAP SETPCAP NET_BIND_SERVICE
    SYS_CHROOT KILL AUDIT_WRITE""".split()
# Escape sequences and carriage returns, which systemd writes to its console.
CONTROLS = re.compile(
    r"\x1b(?:\[[0-?]*[ -/]*[@-~]|\][^\x07\x1b]*(?:\x07|\x1b\\)|[P_^][^\x1b]*\x1b\\|[ -/]*[0-~])|[\r\x07]"
)


def make_bundle(bundle: Path, image: Path, runc: Path, cgroup: str) -> None:
    """Make BUNDLE with a temporary layer over IMAGE."""
    for each in ("upper", "work", "rootfs"):
        (bundle / each).mkdir(parents=True)
    layers = f"lowerdir={image},upperdir={bundle}/upper,workdir={bundle}/work"
    subprocess.run(["mount", "-t", "overlay", "-o", layers, "overlay", bundle / "rootfs"], check=True)
    subprocess.run([runc, "spec", "--bundle", bundle], check=True)
    config = bundle / "config.json"
    config.write_text(json.dumps(adapted(json.loads(config.read_text()), cgroup), indent=4))


def adapted(spec: dict[str, Any], cgroup: str) -> dict[str, Any]:
    granted = [f"CAP_{name}" for name in CAPABILITIES]
    spec["process"] |= {"args": ["/sbin/init"], "terminal": True, "noNewPrivileges": False}
    spec["process"]["capabilities"] = dict.fromkeys(("bounding", "effective", "permitted"), granted)
    spec["root"]["readonly"] = False
    spec["hostname"] = "demo"
    spec["linux"]["cgroupsPath"] = f"/{cgroup}"
    if all(each["type"] != "cgroup" for each in spec["linux"]["namespaces"]):
        spec["linux"]["namespaces"].append({"type": "cgroup"})
    return spec


class Container:
    """`RUNTIME run ID` on its own terminal, and other commands of the same runtime."""

    def __init__(self, runtime: Path, bundle: Path, name: str, environ: dict[str, str]) -> None:
        self.runtime = runtime
        self.name = name
        self.environ = environ
        self.said = ""
        self.began = time.monotonic()
        self._process = self._run(bundle)

    def _run(self, bundle: Path) -> subprocess.Popen[bytes]:
        master, slave = pty.openpty()
        termios.tcsetwinsize(slave, (24, 80))
        words: list[str | Path] = [self.runtime, "run", "--bundle", bundle, self.name]
        process = subprocess.Popen(
            words, stdin=slave, stdout=slave, stderr=slave, env=self.environ, start_new_session=True
        )
        os.close(slave)
        threading.Thread(target=self._read, args=(master,), daemon=True).start()
        return process

    def _read(self, master: int) -> None:
        with open(master, "rb", buffering=0) as terminal:
            try:
                while said := terminal.read(4096):
                    self.said += said.decode(errors="replace")
            except OSError:  # EIO: the runtime is gone
                pass

    def call(self, *words: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run([self.runtime, *words], env=self.environ, capture_output=True, text=True, timeout=60)

    def ask(self, *words: str) -> str:
        return self.call("exec", self.name, *words).stdout.strip()

    def exit_code(self, limit: float) -> int | None:
        """Return the exit code; None if it has not ended after LIMIT seconds."""
        try:
            return self._process.wait(limit)
        except subprocess.TimeoutExpired:
            return None

    @property
    def age(self) -> float:
        return time.monotonic() - self.began

    @property
    def words(self) -> list[str]:
        return [line for line in CONTROLS.sub("", self.said).splitlines() if line.strip()]

    def delete(self) -> None:
        self.call("delete", "--force", self.name)
        self.exit_code(5)
