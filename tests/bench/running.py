"""A container to kill: a real one under the machine's runc, or one that only a stub knows of.

Its PID 1 blocks SIGRTMIN+3 as systemd does and takes it for ever; SIGTERM would end it, and the bench with it.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from tests.bench.specs import CORPUS
from tests.bench.stage import found

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.bench.stage import Stage

ID = "4f9c2a7d1be03658" * 4  # as engines make them
STOP_SIGNAL = signal.SIGRTMIN + 3
ANNOTATIONS = {"io.systemd.container.adjusted": "0", "io.systemd.container.stop-signal": "SIGRTMIN+3"}


@contextmanager
def under_stub(stage: Stage) -> Iterator[Path]:
    """A stub runtime whose `state` tells of a process of this machine."""
    state = stage.place / "state.json"
    init, runtime = stage.compiled("init"), stage.compiled("teller", f'-DSTATE="{state}"', source="stub")
    assert init and runtime, "without a compiler there is nothing to kill"
    with subprocess.Popen([init]) as process:
        told = {"ociVersion": "1.2.0", "id": ID, "status": "running", "pid": process.pid, "annotations": ANNOTATIONS}
        state.write_text(json.dumps({**told, "bundle": str(stage.place)}))
        try:
            yield runtime
        finally:
            process.kill()


def has_runc() -> bool:
    return os.geteuid() == 0 and shutil.which("runc") is not None


@contextmanager
def under_runc(stage: Stage) -> Iterator[tuple[str, str]]:
    """The machine's runc, with the directory of its state, in which the container runs."""
    runc, state = found("runc"), str(stage.place / "runc")
    bundle = stage.place / "container"
    (bundle / "rootfs").mkdir(parents=True)
    init = stage.compiled("init")
    assert init, "without a compiler there is nothing to kill"
    shutil.copy(init, bundle / "rootfs" / "init")
    (bundle / "config.json").write_text(json.dumps(_spec()))
    errors = stage.place / "runc.errors"  # no pipe: the container would hold it open
    if _run(errors, runc, "--root", state, "run", "--detach", "--bundle", str(bundle), ID):
        raise SystemExit(f"the bench stops: runc starts no container here: {errors.read_text().strip()}")
    try:
        yield runc, state
    finally:
        _run(errors, runc, "--root", state, "delete", "--force", ID)


def _run(errors: Path, *words: str) -> int:
    nothing = subprocess.DEVNULL
    with errors.open("w") as file:
        return subprocess.run(words, stdin=nothing, stdout=nothing, stderr=file, check=False).returncode


def _spec() -> dict[str, Any]:
    """What `runc spec` says, without a terminal and without limits, which need controllers."""
    spec: dict[str, Any] = json.loads((CORPUS / "runc" / "spec.json").read_bytes())
    spec["process"] |= {"terminal": False, "args": ["/init"]}
    del spec["linux"]["resources"]
    return {**spec, "annotations": ANNOTATIONS}
