"""A fake runc or crun, real at the edge: `--root R state ID` does what the test left in R/ID/said."""

from __future__ import annotations

import json
from pathlib import Path

SCRIPT = """#!/bin/sh
[ "$1 $3" = "--root state" ] || exit 9
. "$2/$4/said"
"""
FILES = {"runc": "state.json", "crun": "status"}


def fake_runtime(path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(SCRIPT)
    path.chmod(0o755)
    return path


def state(bundle: str, annotations: dict[str, object] | None = None, **more: object) -> dict[str, object]:
    """What runc and crun tell of a running container."""
    base = {"ociVersion": "1.2.0", "status": "running", "pid": 1, "bundle": bundle, "annotations": annotations}
    return base | more


def put(root: Path, id: str, said: str | dict[str, object], *, kind: str = "runc") -> None:
    """A container in `root`: a script, or what its state says."""
    folder = root / id
    folder.mkdir(parents=True)
    (folder / FILES[kind]).touch()
    (folder / "state").write_text(json.dumps(said))
    (folder / "said").write_text(said if isinstance(said, str) else 'cat "$2/$4/state"')
