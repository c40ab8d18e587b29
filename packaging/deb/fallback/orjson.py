"""Of orjson what the command line calls, by the standard library: for Debian 12, which has no python3-orjson.

Law: where the real one is, it is found first.
"""

from __future__ import annotations

import json
from json import JSONDecodeError, loads

OPT_INDENT_2 = OPT_APPEND_NEWLINE = 0  # what is asked for always: `dumps` does both

__all__ = ["OPT_APPEND_NEWLINE", "OPT_INDENT_2", "JSONDecodeError", "dumps", "loads"]


def dumps(value: object, option: int = 0) -> bytes:
    return f"{json.dumps(value, indent=2, ensure_ascii=False)}\n".encode()
