"""Ask a running engine for its handlers: containerd and CRI-O through the CRI, Docker through its API.

Invariant: nothing is changed, and every wait has a limit.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from h2.exceptions import H2Error

from oci_systemd.core.errors import Problem
from oci_systemd.installation import cri, docker_api

if TYPE_CHECKING:
    from pathlib import Path

PATIENCE = 120.0  # seconds from an engine's restart until it answers: a distribution starts more than its containerd
PAUSE = 0.25


def handlers(engine: str, place: Path) -> set[str] | None:
    """Return the handlers of the engine at the socket `place`; None if it does not report them. Raise OSError or H2Error if it does
    not answer."""
    return docker_api.runtimes(place) if engine == "docker" else cri.handlers(place)


def serves(engine: str, handler: str, place: Path) -> bool:
    """Return whether the engine at the socket `place` has `handler`, or does not report handlers. Raise a Problem if it does not
    answer."""
    end = time.monotonic() + PATIENCE
    while True:
        try:
            names = handlers(engine, place)
        except (OSError, H2Error) as error:
            if time.monotonic() > end:
                raise Problem(f"engine at {place}: does not answer: {error}") from None
            time.sleep(PAUSE)
        else:
            return names is None or handler in names


def wait_for(engine: str, handler: str, place: Path) -> None:
    """Wait until the engine at the socket `place` has `handler`. Raise a Problem if it does not."""
    end = time.monotonic() + PATIENCE
    while not serves(engine, handler, place):
        if time.monotonic() > end:
            raise Problem(f"engine at {place}: running, but without the handler {handler}")
        time.sleep(PAUSE)
