"""What may not be measured beside each other: the time that a container takes to stop, and what fills disks and run queues.

systemd syncs every disk of the machine before it goes. Law: no `noise` of any worker of this source tree is made in a `silence`.
"""

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def noise() -> Iterator[None]:
    """Write much, or start much at once; beside other noise."""
    with _locked(fcntl.LOCK_SH):
        yield


@contextmanager
def silence() -> Iterator[None]:
    """Measure, with nothing left to write."""
    with _locked(fcntl.LOCK_EX):
        os.sync()
        yield


@contextmanager
def _locked(kind: int) -> Iterator[None]:
    with Path(__file__).open() as lock:
        fcntl.flock(lock, kind)
        yield
