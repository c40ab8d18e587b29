"""What the plugin shows is bounded, however long it is and whoever reads it."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from threading import Thread

import pytest

from oci_systemd.core.settings import Settings
from oci_systemd.nri import log as module
from oci_systemd.nri.log import LONGEST, SHOWN, Log


@pytest.fixture
def reader(monkeypatch: pytest.MonkeyPatch) -> Iterator[int]:
    """Where stderr can be read."""
    reading, writing = os.pipe()
    monkeypatch.setattr(module, "STDERR", writing)
    yield reading
    os.close(writing)
    os.close(reading)


def taken(reader: int, ends: int) -> bytes:
    """What comes, up to so many ends of lines."""
    found = b""
    while found.count(b"\n") < ends:
        found += os.read(reader, 1 << 20)
    return found


def test_a_text_beyond_measure_is_cut(reader: int) -> None:
    log = Log(Settings, launched=False)
    log.show("x" * 3 * LONGEST)
    assert taken(reader, 1).decode() == "x" * LONGEST + f"… ({3 * LONGEST} characters)\n"
    log.close()


def test_texts_that_nobody_reads_are_few(reader: int) -> None:
    log = Log(Settings, launched=False)
    log.show("x" * LONGEST * 2)  # more than a pipe holds
    while log._queue.qsize():
        time.sleep(0.001)  # until the writer has it in hand
    for _ in range(3 * SHOWN):
        log.show("y")
    waiting = log._queue.qsize()
    reading = Thread(target=taken, args=(reader, waiting + 1))
    reading.start()
    log.close()
    reading.join()
    assert waiting == SHOWN
