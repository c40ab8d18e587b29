"""Entries of the log as lines, by `logging`, python-json-logger and orjson: for what stays, to which their start is nothing.

Law: each line is byte for byte the one that `host/log` makes of the same entry by hand (a test compares them), whatever
stands in it.
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
# What a record is not asked for, nor looks for then (logging, "Optimization"), and what is nobody's trouble.
UNUSED = {
    "_srcfile": None,
    "logThreads": False,
    "logProcesses": False,
    "logMultiprocessing": False,
    "logAsyncioTasks": False,
    "raiseExceptions": False,
}
BEYOND_ASCII = re.compile("[^ -~]+")


class Lines(logging.Handler):
    """Gives `put` each record's level and line. One thread logs, so that the handler's lock is never waited for."""

    def __init__(self, put: Callable[[tuple[str, str]], None]) -> None:
        super().__init__()
        self._put = put
        # A record's message is the whole entry, a dict, and stands as it is; `time`, its first key, has the first place.
        own = (*vars(logging.makeLogRecord({})), "message")  # python-json-logger 2.0 knows none of Python 3.12
        self.setFormatter(JsonFormatter("%(time)s", json_serializer=serialized, reserved_attrs=own))

    def emit(self, record: logging.LogRecord) -> None:
        fields: Any = record.msg
        try:
            text = self.format(record)
        except Exception:  # half a surrogate pair, which orjson takes for no text: nothing goes without its line
            text = line(fields)
        self._put((fields["level"], text))


def logger(handler: logging.Handler) -> logging.Logger:
    """A logger that tells `handler`, and nobody else, whatever it is given."""
    for name, value in UNUSED.items():
        setattr(logging, name, value)
    found = logging.Logger(IDENTIFIER)
    found.addHandler(handler)
    return found


def tell(logger: logging.Logger, entry: Entry) -> None:
    """Have `logger` log `entry`."""
    logger.log(NUMBERS[entry.level], entry.fields(time.time()))


def serialized(value: object, **_: object) -> str:
    """`value` as JSON in ASCII. orjson writes UTF-8, and what is beyond ASCII stands in strings alone."""
    return BEYOND_ASCII.sub(_escapes, orjson.dumps(value).decode())


def _escapes(found: re.Match[str]) -> str:
    return line(found[0])[1:-1]
