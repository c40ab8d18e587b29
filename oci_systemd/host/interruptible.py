"""How a wait is ended from outside."""

from __future__ import annotations

import signal
from contextlib import contextmanager
from typing import TYPE_CHECKING

from oci_systemd.core.errors import Problem

if TYPE_CHECKING:
    from collections.abc import Iterator


@contextmanager
def interruptible(sentence: str) -> Iterator[None]:
    """Have SIGTERM raise a Problem of that sentence: a container's first process ignores it otherwise (pid_namespaces(7))."""

    def end(*_: object) -> None:
        raise Problem(sentence)

    before = signal.signal(signal.SIGTERM, end)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)
