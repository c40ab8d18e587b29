"""The plugin's log, in the lines of `host/log`, written by a separate thread: the plugin never waits for a reader.

Law: `tell` never blocks. If the queue is full, lines are dropped, and the next line says how many.
"""

from __future__ import annotations

import os
from queue import SimpleQueue
from threading import Thread
from typing import TYPE_CHECKING

from oci_systemd.host.log import Entry, deliver, is_told
from oci_systemd.nri.lines import Lines, logger, tell

if TYPE_CHECKING:
    from collections.abc import Callable

    from oci_systemd.core.settings import Settings

ROOM = 1000  # lines in the queue
SHOWN, LONGEST = 100, 1 << 16  # texts of `show` in the queue, and the most characters of each
PATIENCE = 2.0  # seconds to write the last lines
STDERR = 2


class Log:
    """`tell` writes entries to stderr, which is a unit's journal or a pod's log; with `launched`, to the log in the settings."""

    def __init__(self, settings: Callable[[], Settings], *, launched: bool) -> None:
        self._settings = settings
        self._put = self._to_node if launched else self._to_stderr
        self._queue: SimpleQueue[tuple[str, str] | None] = SimpleQueue()
        self._logger = logger(Lines(self._queue.put))
        self._dropped = 0
        self._thread = Thread(target=self._run, name="log", daemon=True)
        self._thread.start()

    def tell(self, entry: Entry) -> None:
        """Write `entry` if the level in the settings includes it."""
        if not is_told(entry, self._settings()):
            return
        if self._queue.qsize() >= ROOM:
            self._dropped += 1
            return
        if self._dropped:
            lost, self._dropped = f"{self._dropped} lines dropped: the reader is too slow", 0
            tell(self._logger, Entry("warning", "log", None, lost))
        tell(self._logger, entry)

    def show(self, text: str) -> None:
        """Write `text`, of many lines, unchanged; shorten it if it is too long."""
        if self._queue.qsize() < SHOWN:
            self._queue.put(("debug", text if len(text) <= LONGEST else f"{text[:LONGEST]}… ({len(text)} characters)"))

    def close(self) -> None:
        """Wait up to PATIENCE for the last lines."""
        self._queue.put(None)
        self._thread.join(PATIENCE)

    def _run(self) -> None:
        while (told := self._queue.get()) is not None:
            try:
                self._put(*told)
            except OSError:
                continue

    def _to_stderr(self, level: str, text: str) -> None:
        data = text.encode(errors="backslashreplace") + b"\n"
        while data:
            data = data[os.write(STDERR, data) :]

    def _to_node(self, level: str, text: str) -> None:
        deliver(text, level, self._settings())
