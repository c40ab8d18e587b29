"""Log entries as lines, with `logging`, python-json-logger and orjson: for the plugin, which loads them once.

Law: each line equals the one that `host/log` makes of the same entry by hand (a test compares them).
"""

from __future__ import annotations

import logging
import re
import time
from typing import TYPE_CHECKING, Any

import orjson

from oci_systemd.core.json_text import line
from oci_systemd.host.log import IDENTIFIER, LEVELS

try:
    from pythonjsonlogger.json import JsonFormatter
except ImportError:  # before 3.1: Debian 12 and Ubuntu 24.04 have 2.0
    from pythonjsonlogger.jsonlogger import JsonFormatter  # type: ignore[attr-defined]  # typed only since

if TYPE_CHECKING:
    from collections.abc import Callable

    from oci_systemd.host.log import Entry

NUMBERS = {level: int(getattr(logging, level.upper())) for level in LEVELS}
# Lines do not have a record's origin (logging, "Optimization"), and errors of a log are not printed to stderr.
UNUSED = {
    "_srcfile": None,
    "logThreads": False,
    "logProcesses": False,
    "logMultiprocessing": False,
    "logAsyncioTasks": False,
    "raiseExceptions": False,
}
UNESCAPED = re.compile("[^ -~]+")  # orjson writes UTF-8, which appears only in strings


class Lines(logging.Handler):
    """Pass each record's level and line to `put`. Only one thread logs, so nothing waits for the handler's lock."""

    def __init__(self, put: Callable[[tuple[str, str]], None]) -> None:
        super().__init__()
        self._put = put
        # The message is a dict with the entry's fields; naming the first one keeps their order.
        no_fields = (*vars(logging.makeLogRecord({})), "message")  # 2.0 does not know Python 3.12's taskName
        self.setFormatter(JsonFormatter("%(time)s", json_serializer=serialized, reserved_attrs=no_fields))

    def emit(self, record: logging.LogRecord) -> None:
        fields: Any = record.msg
        try:
            text = self.format(record)
        except Exception:  # orjson refuses half a surrogate pair; every entry gets its line
            text = line(fields)
        self._put((fields["level"], text))


def logger(handler: logging.Handler) -> logging.Logger:
    """Return a logger with only this handler, for all levels, separate from all other loggers."""
    for name, value in UNUSED.items():
        setattr(logging, name, value)
    found = logging.Logger(IDENTIFIER)
    found.addHandler(handler)
    return found


def tell(logger: logging.Logger, entry: Entry) -> None:
    """Log `entry` with `logger`."""
    logger.log(NUMBERS[entry.level], entry.fields(time.time()))


def serialized(value: object, **_: object) -> str:
    """Return `value` as JSON in ASCII."""
    return UNESCAPED.sub(_escapes, orjson.dumps(value).decode())


def _escapes(found: re.Match[str]) -> str:
    return line(found[0])[1:-1]
