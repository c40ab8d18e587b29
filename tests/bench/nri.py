"""NRI's rows: a CreateContainer call, from the runtime's request to the plugin's answer, beside an echo of the same bytes.

The plugin is one process that keeps running. No program starts for a container, so the floor is an echo.
"""

from __future__ import annotations

import itertools
import json
import socket
import subprocess
import time
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from tests.bench import specs
from tests.bench.rows import Row
from tests.bench.stage import INTERPRETER
from tests.nri.program import Program
from tests.nri.requests import request
from tests.nri.runtime import Runtime

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from tests.bench.stage import Stage
    from tests.nri.runtime import Peer

ECHO_NAME = "an echo in Python"
ECHO = """import socket, sys
peer = socket.socket(fileno=int(sys.argv[1]))
while data := peer.recv(65536):
    peer.sendall(data)
"""
# The machine's cgroups do not matter here: the plugin's work is the same.
SETTINGS = "cgroup.require_nsdelegate = false\n"


@dataclass(frozen=True)
class Call:
    """One question and its answer over a connection that stays; timed as the commands of a Side are."""

    exchange: Callable[[], object]

    def once(self) -> int:
        begin = time.perf_counter_ns()
        self.exchange()
        return time.perf_counter_ns() - begin


@contextmanager
def created(stage: Stage) -> Iterator[list[Row]]:
    """Yield the rows, as long as the plugin and the echo run."""
    with _plugin(stage.place) as peer, _echo() as echo:
        yield [
            _row(peer, echo, f"NRI create, {who}, 10 kB", path, is_wanted=is_wanted)
            for who, path, is_wanted in (("not systemd", specs.UNWANTED, False), ("systemd", specs.WANTED, True))
        ]


def _row(peer: Peer, echo: socket.socket, name: str, path: Path, *, is_wanted: bool) -> Row:
    spec = _served(json.loads(specs.small(path, writable=True)))
    if (peer.create(request(spec)) is not None) is not is_wanted:
        raise SystemExit(f"the bench stops: {name}: the plugin {'left it' if is_wanted else 'adjusted it'}")
    numbers = itertools.count()  # each container of a node has its own ID
    question = request(spec).SerializeToString()
    ours = Call(lambda: peer.create(request(spec, id=f"{next(numbers):064x}")))
    return Row(name, ours, Call(lambda: _echoed(echo, question)), ECHO_NAME, None, None, None)


def _served(spec: dict[str, Any]) -> dict[str, Any]:
    """Return the spec without the record of an engine's own handler: NRI is asked before the runtime is."""
    return {**spec, "annotations": {}}


def _echoed(echo: socket.socket, question: bytes) -> None:
    echo.sendall(question)
    missing = len(question)
    while missing:
        missing -= len(echo.recv(missing))


@contextmanager
def _plugin(place: Path) -> Iterator[Peer]:
    settings = place / "nri.toml"
    settings.write_text(SETTINGS)
    runtime = Runtime(place / "nri.sock")
    runtime.start()
    program = Program(place, "-socket-path", str(runtime.path), env={"OCI_SYSTEMD_CONFIG": str(settings)})
    try:
        yield runtime.plugin()
    finally:
        program.end()
        runtime.stop()


@contextmanager
def _echo() -> Iterator[socket.socket]:
    ours, theirs = socket.socketpair()
    words = [INTERPRETER, "-IS", "-c", ECHO, str(theirs.fileno())]
    with ours, subprocess.Popen(words, pass_fds=[theirs.fileno()]) as process:
        theirs.close()
        try:
            yield ours
        finally:
            ours.close()
            process.wait()
