"""Log one JSON line for each container that is adjusted, refused, or left alone with a warning: to the journal, else to a file.

Law: an error of the log never fails or delays a call. The line is made by hand, and equals the line that python-json-logger and
orjson make for the plugin (nri/lines; tests compare them): importing `logging` and those would double the time of a call. Text is
escaped to ASCII and shortened, so that text of a pod's author is always one string in one line.
"""

from __future__ import annotations

import posix
import time

from oci_systemd.core.json_text import line
from oci_systemd.host.files import append

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable

    from oci_systemd.core.adjust import Adjustment
    from oci_systemd.core.container import Container
    from oci_systemd.core.json_text import Json
    from oci_systemd.core.settings import Settings

LEVELS = {"debug": 7, "info": 6, "warning": 4, "error": 3}  # syslog(3) numbers, which the journal uses
JOURNAL = "/run/systemd/journal/socket"
IDENTIFIER = "oci-systemd"
LONGEST = 512  # characters of one text
MOST = 100  # texts of one list


class Entry:
    """The content of one line."""

    __slots__ = ("container", "edits", "level", "message", "milliseconds", "reason", "warnings")

    def __init__(
        self,
        level: str,
        message: str,
        container: Container | None,
        reason: str,
        edits: Iterable[object] = (),
        warnings: Iterable[str] = (),
        milliseconds: float = 0.0,
    ) -> None:
        self.level = level
        self.message = message
        self.container = container
        self.reason = reason
        self.edits = [str(edit) for edit in edits]
        self.warnings = list(warnings)
        self.milliseconds = milliseconds

    def fields(self, now: float) -> dict[str, Json]:
        container = self.container
        return {
            "time": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(now)),
            "level": self.level,
            "message": self.message,
            "container_id": _cut(container.id) if container else "",
            "container_name": _cut(container.name) if container else "",
            "pod": _cut(container.pod) if container else "",
            "reason": _cut(self.reason),
            "edits": [_cut(edit) for edit in self.edits[:MOST]],
            "warnings": [_cut(warning) for warning in self.warnings[:MOST]],
            "duration_ms": round(self.milliseconds, 1),
        }


def of_adjustment(container: Container, adjustment: Adjustment, milliseconds: float) -> Entry:
    """Return the entry for a decision. A container left alone without a warning is logged only at level debug."""
    level = "warning" if adjustment.warnings else "info" if adjustment.edits else "debug"
    message = "adjusted" if adjustment.edits else "unchanged" if adjustment.verdict.wanted else "left alone"
    edits, warnings = adjustment.edits, adjustment.warnings
    return Entry(level, message, container, adjustment.verdict.reason, edits, warnings, milliseconds)


def _cut(text: str) -> str:
    return text if len(text) <= LONGEST else text[: LONGEST - 1] + "…"


def is_told(entry: Entry, settings: Settings) -> bool:
    """Return whether the level in the settings includes `entry`."""
    return LEVELS[entry.level] <= LEVELS[settings.text("log.level")]


def write(entry: Entry, settings: Settings) -> None:
    """Log `entry` as the settings say; errors are ignored."""
    if is_told(entry, settings):
        deliver(line(entry.fields(time.time())), entry.level, settings)


def deliver(text: str, level: str, settings: Settings) -> None:
    """Write a line to the journal, else to the log file in the settings."""
    if _to_journal(text, LEVELS[level]) or not settings.text("log.file"):
        return
    try:
        append(settings.text("log.file"), text.encode() + b"\n", 0o640)
    except OSError:
        return


def _to_journal(text: str, priority: int) -> bool:
    """Send one entry in the journal's protocol (systemd, JOURNAL_NATIVE_PROTOCOL). Return False if it is not accepted."""
    try:
        posix.stat(JOURNAL)  # without a journal, the import is not needed
        import _socket  # the C half of socket

        peer = _socket.socket(_socket.AF_UNIX, _socket.SOCK_DGRAM | _socket.SOCK_CLOEXEC | _socket.SOCK_NONBLOCK)
        try:
            peer.sendto(f"PRIORITY={priority}\nSYSLOG_IDENTIFIER={IDENTIFIER}\nMESSAGE={text}\n".encode(), JOURNAL)
        finally:
            peer.close()
    except (OSError, ImportError):
        return False
    return True
