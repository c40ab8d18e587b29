"""End a wait on SIGTERM with a sentence. Not in `process`, which every runtime call loads: `signal` costs too much there."""

from __future__ import annotations

import signal
from contextlib import contextmanager
from typing import TYPE_CHECKING

from oci_systemd.core.errors import Problem

if TYPE_CHECKING:
    from collections.abc import Iterator


@contextmanager
def interruptible(sentence: str) -> Iterator[None]:
    """Make SIGTERM raise a Problem with this sentence: by default a container's PID 1 ignores the signal (pid_namespaces(7))."""

    def end(*_: object) -> None:
        raise Problem(sentence)

    before = signal.signal(signal.SIGTERM, end)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)
