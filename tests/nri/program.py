"""The plugin as a program of its own: started, watched and ended."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

SOURCE = Path(__file__).parents[2]
COMMAND = [sys.executable, "-P", "-c", "from oci_systemd.cli import main; main()"]
LIMIT = 20
PAGE = os.sysconf("SC_PAGE_SIZE")


def environment(**more: str) -> dict[str, str]:
    return {"PATH": os.environ["PATH"], "PYTHONPATH": str(SOURCE), **more}


class Program:
    """`oci-systemd nri` with OPTIONS; the file `log` has its output."""

    def __init__(self, folder: Path, *options: str, env: Mapping[str, str] | None = None, **popen: Any) -> None:
        self.log = folder / "log"
        command = [*COMMAND, "nri", *options]
        with self.log.open("ab") as log:
            given: dict[str, Any] = {"stdout": log, "stderr": log, "env": environment(), **popen}
            given["env"] = {**given["env"], **(env or {})}
            self.process = subprocess.Popen(command, stdin=subprocess.DEVNULL, **given)

    def said(self) -> str:
        return self.log.read_text(errors="replace")

    def wait_said(self, words: str, times: int = 1) -> str:
        """Wait until it has said WORDS so many times; all that it has said."""
        assert until(lambda: self.said().count(words) >= times), self.said()
        return self.said()

    def signal(self, number: int) -> None:
        self.process.send_signal(number)

    def memory(self) -> int:
        """Its resident bytes."""
        return int(Path(f"/proc/{self.process.pid}/statm").read_text().split()[1]) * PAGE

    def seconds(self) -> float:
        """The processor time that it has taken."""
        user, system = Path(f"/proc/{self.process.pid}/stat").read_text().rpartition(")")[2].split()[11:13]
        return (int(user) + int(system)) / os.sysconf("SC_CLK_TCK")

    def descriptors(self) -> int:
        return len(os.listdir(f"/proc/{self.process.pid}/fd"))

    def end(self) -> int:
        """Tell it to end; its exit code."""
        if self.process.poll() is None:
            self.signal(signal.SIGTERM)
        return self.exit_code()

    def exit_code(self) -> int:
        try:
            return self.process.wait(LIMIT)
        except subprocess.TimeoutExpired:
            self.process.kill()
            raise


def until(met: Callable[[], bool], limit: float = LIMIT) -> bool:
    """Wait until a condition is met; whether it was."""
    end = time.monotonic() + limit
    while not (done := met()) and time.monotonic() < end:
        time.sleep(0.02)
    return done
