"""A wrapper of its own for each test, and specs for it."""

from __future__ import annotations

import itertools
from pathlib import Path
from typing import Any

import pytest

from oci_systemd.core.rules import FAILS_WITHOUT
from tests.shells.wrapper import Wrapper


@pytest.fixture
def wrapper(tmp_path: Path) -> Wrapper:
    return Wrapper(tmp_path)


@pytest.fixture
def systemd() -> dict[str, Any]:
    """A spec that is wanted on any host: its cgroup mount is writable already."""
    return spec("/sbin/init")


def spec(*args: str, **changes: Any) -> dict[str, Any]:
    return {
        "ociVersion": "1.2.0",
        "process": {
            "args": list(args),
            "env": ["PATH=/usr/bin"],
            "user": {"uid": 0},
            "capabilities": {"bounding": [*itertools.chain(*FAILS_WITHOUT)]},
        },
        "root": {"path": "rootfs"},
        "mounts": [
            {"destination": "/dev/shm", "type": "tmpfs", "source": "shm"},
            {"destination": "/sys/fs/cgroup", "type": "cgroup", "source": "cgroup", "options": ["nosuid"]},
        ],
        "linux": {"namespaces": [{"type": "pid"}, {"type": "cgroup"}]},
        **changes,
    }
