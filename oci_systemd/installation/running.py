"""Which handlers an engine that runs has in effect: containerd and CRI-O are asked by the CRI, Docker by its API.

Invariant: it looks, and waits no longer than its bound.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from h2.exceptions import H2Error

from oci_systemd.core.errors import Problem
from oci_systemd.installation import cri, docker_api

if TYPE_CHECKING:
    from pathlib import Path

PATIENCE = 120.0  # seconds from an engine's restart until it serves: a distribution starts more than its containerd
PAUSE = 0.25


def handlers(engine: str, place: Path) -> set[str] | None:
    """The handlers that the engine at the socket `place` has in effect; None where it does not say. An OSError or H2Error where it
    does not answer."""
    return docker_api.runtimes(place) if engine == "docker" else cri.handlers(place)


def serves(engine: str, handler: str, place: Path) -> bool:
    """Whether the engine at the socket `place` serves `handler`, or does not say. A Problem where it does not answer."""
    end = time.monotonic() + PATIENCE
    while True:
        try:
            names = handlers(engine, place)
        except (OSError, H2Error) as error:
            if time.monotonic() > end:
                raise Problem(f"the engine at {place} does not answer: {error}") from None
            time.sleep(PAUSE)
        else:
            return names is None or handler in names


def wait_for(engine: str, handler: str, place: Path) -> None:
    """Wait until the engine at the socket `place` serves `handler`. A Problem where it does not."""
    end = time.monotonic() + PATIENCE
    while not serves(engine, handler, place):
        if time.monotonic() > end:
            raise Problem(f"the engine at {place} runs, and does not serve the handler {handler}")
        time.sleep(PAUSE)
