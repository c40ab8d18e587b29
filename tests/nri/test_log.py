"""What the plugin says is bounded, however long it is and whoever reads it, and is what the wrapper would have said."""

from __future__ import annotations

import json
import logging
import os
import time
from collections.abc import Iterator
from threading import Thread
from typing import Any

import orjson
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from oci_systemd.core.json_text import line
from oci_systemd.core.settings import Settings
from oci_systemd.host.log import LEVELS, Entry
from oci_systemd.nri import lines
from oci_systemd.nri import log as module
from oci_systemd.nri.lines import Lines, logger
from oci_systemd.nri.log import LONGEST, ROOM, SHOWN, Log
from tests.core.build import container


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


# Lines that nobody reads


def filled(log: Log) -> None:
    """Have the writer wait, with more than a pipe holds in hand."""
    log.show("x" * LONGEST * 2)
    while log._queue.qsize():
        time.sleep(0.001)


def test_telling_waits_for_nobody_and_counts_what_is_dropped(reader: int) -> None:
    log = Log(Settings, launched=False)
    filled(log)
    entry = Entry("info", "adjusted", container(), "why")
    began = time.monotonic()
    for _ in range(3 * ROOM):
        log.tell(entry)
    assert time.monotonic() - began < 5
    assert log._queue.qsize() == ROOM
    taken(reader, 1 + ROOM)
    log.tell(entry)
    lost, last = map(json.loads, taken(reader, 2).splitlines())
    assert (lost["level"], lost["reason"]) == ("warning", f"{2 * ROOM} lines dropped: the reader is too slow")
    assert last["message"] == "adjusted"
    log.close()


@pytest.mark.parametrize(("level", "told"), [("debug", 4), ("info", 3), ("warning", 2), ("error", 1)])
def test_the_level_is_the_settings_own_as_they_are_now(level: str, told: int, reader: int) -> None:
    settings = [Settings({"log.level": "error"}), Settings({"log.level": level})]
    log = Log(lambda: settings[-1], launched=False)
    for each in LEVELS:
        log.tell(Entry(each, "x", None, ""))
    found = [json.loads(text)["level"] for text in taken(reader, told).splitlines()]
    assert found == [*LEVELS][-told:]
    settings.pop()
    log.tell(Entry("warning", "x", None, ""))
    log.tell(Entry("error", "last", None, ""))
    assert json.loads(taken(reader, 1))["message"] == "last"
    log.close()


# What a line is

# Whatever a pod's author writes: all of Unicode, halves of surrogate pairs too, and what a formatter may take for its own.
TEXTS = st.one_of(
    st.text(st.characters(exclude_categories=()), max_size=30),
    st.text(st.sampled_from("\x00\x1f \x7e\x7f\x80\u2028\ud800\udfff\ue000\uffff\U0001f600\"\\/%{}$'<"), max_size=12),
    st.sampled_from(["%s", "%(message)s", "{0}", "$x", "é" * 600]),
)
ENTRIES = st.builds(
    lambda level, texts, edits, milliseconds: Entry(
        level, texts[0], container(id=texts[1], name=texts[2]), texts[3], edits, edits[1:], milliseconds
    ),
    st.sampled_from([*LEVELS]),
    st.tuples(*[TEXTS] * 4),
    st.one_of(st.lists(TEXTS, max_size=4), st.just(["x"] * 150)),
    st.floats(0, 1e12),
)
NOW = 1_700_000_000.0


def made(fields: dict[str, Any], level: str) -> list[tuple[str, str]]:
    found: list[tuple[str, str]] = []
    logger(Lines(found.append)).log(lines.NUMBERS[level], fields)
    return found


@given(ENTRIES)
@example(Entry("info", "connected", None, "to containerd"))
@example(Entry("error", "refused", None, "half \ud83d of a pair"))
def test_a_line_is_the_one_that_the_wrapper_makes_by_hand(entry: Entry) -> None:
    fields = entry.fields(NOW)
    assert made(fields, entry.level) == [(entry.level, line(fields))]
    assert line(fields).isprintable()
    assert line(fields) == json.dumps(fields, separators=(",", ":"))


def test_orjson_makes_it(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[object] = []
    real = orjson.dumps

    def dumps(value: object) -> bytes:
        asked.append(value)
        return real(value)

    monkeypatch.setattr(orjson, "dumps", dumps)
    fields = Entry("info", "adjusted", container(), "why").fields(NOW)
    assert made(fields, "info") == [("info", line(fields))]
    assert asked == [fields]


def test_a_formatter_s_fault_costs_no_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Lines, "format", lambda self, record: 1 / 0)
    fields = Entry("info", "adjusted", container(), "why").fields(NOW)
    assert made(fields, "info") == [("info", line(fields))]


def test_nobody_else_s_logging_is_in_it(reader: int) -> None:
    """A library's record to the root logger does not reach our log, nor ours the root logger."""
    seen: list[logging.LogRecord] = []

    class Seen(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            seen.append(record)

    handler = Seen()
    logging.getLogger().addHandler(handler)
    try:
        log = Log(Settings, launched=False)
        logging.getLogger("prometheus_client").error("theirs")
        log.tell(Entry("info", "ours", None, ""))
        assert json.loads(taken(reader, 1))["message"] == "ours"
        log.close()
    finally:
        logging.getLogger().removeHandler(handler)
    assert [record.msg for record in seen] == ["theirs"]
