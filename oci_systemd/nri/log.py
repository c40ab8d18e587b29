"""What the plugin says, in the lines of `host/log`: written by another thread, so that nothing waits for who reads them.

Law: `tell` never blocks. A line that finds no room is dropped, and the next one that finds some is told how many were.
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

ROOM = 1000  # lines that may wait
SHOWN, LONGEST = 100, 1 << 16  # texts that may wait, which are not bounded as lines are, and characters of each
PATIENCE = 2.0  # seconds that the last ones may take
STDERR = 2


class Log:
    """`tell` it entries. They go to stderr, which is a unit's journal or a pod's log; with `launched`, where settings say."""

    def __init__(self, settings: Callable[[], Settings], *, launched: bool) -> None:
        self._settings = settings
        self._put = self._to_node if launched else self._to_stderr
        self._queue: SimpleQueue[tuple[str, str] | None] = SimpleQueue()
        self._logger = logger(Lines(self._queue.put))
        self._dropped = 0
        self._thread = Thread(target=self._run, name="log", daemon=True)
        self._thread.start()

    def tell(self, entry: Entry) -> None:
        """Have `entry` written, where the settings' level lets it through."""
        if not is_told(entry, self._settings()):
            return
        if self._queue.qsize() >= ROOM:
            self._dropped += 1
            return
        if self._dropped:
            lost, self._dropped = f"{self._dropped} lines were dropped: they were not read in time", 0
            tell(self._logger, Entry("warning", "log", None, lost))
        tell(self._logger, entry)

    def show(self, text: str) -> None:
        """Have `text`, of many lines, written as it is; cut where it is beyond measure."""
        if self._queue.qsize() < SHOWN:
            self._queue.put(("debug", text if len(text) <= LONGEST else f"{text[:LONGEST]}… ({len(text)} characters)"))

    def close(self) -> None:
        """Wait a moment for the last lines."""
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
