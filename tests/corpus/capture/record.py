"""What the capture scripts share: the recording runtime, and where its records go.

How to use: a module for containerd.py, docker.py and podman.py, in a node (node.sh).
"""

import hashlib
import json
import shutil
import subprocess
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

HERE = Path(__file__).resolve().parent
WORK = Path("/var/tmp/capture")
APPARMOR = Path("/sys/kernel/security/apparmor/profiles")
SELINUX = Path("/sys/fs/selinux/enforce")


def fictional_id(*parts: str) -> str:
    """64 hexadecimal digits in place of an engine's random ID, the same at every capture."""
    return hashlib.sha256("/".join(parts).encode()).hexdigest()


def fictional_uid(*parts: str) -> str:
    """A pod UID, the same at every capture."""
    digits = bytes.fromhex(fictional_id(*parts))[:16]
    return str(uuid.UUID(bytes=digits, version=4))


class Recorder:
    """The recording runtime, installed under a name, and the directory of one engine's records."""

    def __init__(self, raw: Path, name: str = "runc") -> None:
        self.engine = raw.name
        self.runtime = WORK / name
        self._raw = raw
        self._names: dict[str, str] = {}
        self._dump = WORK / "dump"
        shutil.rmtree(WORK, ignore_errors=True)
        self._raw.mkdir(parents=True, exist_ok=True)
        self._dump.mkdir(parents=True)
        shutil.copy(HERE / "recorder.sh", self.runtime)
        real = shutil.which(name)
        if not real:
            raise FileNotFoundError(f"no {name} here")
        (WORK / "real").symlink_to(real)

    def keep(self, container_id: str, case: str) -> None:
        """Keep a container's config.json under the name of its case."""
        self.name(container_id, case)
        shutil.copyfile(self._dump / f"{container_id}.json", self._raw / f"{case}.json")
        print(f"{self.engine}/{case}.json")

    def name(self, real: str, *parts: str) -> None:
        """Let normalise.py put a fictional ID in place of a real one; the first call counts."""
        self._names.setdefault(real, fictional_id("id", self.engine, *parts))

    def close(self) -> None:
        """Write down the names, and remove the control groups of what ran."""
        (self._raw / "names.txt").write_text("".join(f"{real} {name}\n" for real, name in self._names.items()))
        corpus = Path("/sys/fs/cgroup/corpus")
        for directory in sorted(corpus.glob("**/"), reverse=True):
            with suppress(OSError):
                directory.rmdir()


@contextmanager
def daemon(*command: str) -> Iterator[None]:
    """A daemon for the time of a with block; its log goes to NAME.log beside the runtime."""
    log = WORK / (Path(command[0]).name + ".log")
    with log.open("wb") as output:
        process = subprocess.Popen(command, stdout=output, stderr=subprocess.STDOUT)
    try:
        yield
    finally:
        process.terminate()
        process.wait()


def wait_for(ready: Callable[[], bool], what: str, limit: float = 30) -> None:
    """Wait until something is so."""
    end = time.monotonic() + limit
    while not ready():
        if time.monotonic() > end:
            raise TimeoutError(what)
        time.sleep(0.1)


def run(*command: str) -> str:
    """Run a command and return its output."""
    return subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout.strip()


def write_json(path: Path, value: object) -> None:
    """Write a JSON file, with its directory."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(value))
