"""The part of orjson that the command line and the plugin use, with the standard library: for Debian 12 without python3-orjson.

Law: the real orjson is found first if it is installed. Both write the same bytes for our values (a test compares them).
"""

from __future__ import annotations

import json
from json import JSONDecodeError, loads
from typing import Any

OPT_INDENT_2, OPT_APPEND_NEWLINE = 1, 1 << 10  # orjson's own numbers
JSONEncodeError = TypeError

__all__ = ["OPT_APPEND_NEWLINE", "OPT_INDENT_2", "JSONDecodeError", "JSONEncodeError", "dumps", "loads"]


def dumps(value: object, option: int = 0) -> bytes:
    style: dict[str, Any] = {"indent": 2} if option & OPT_INDENT_2 else {"separators": (",", ":")}
    try:
        text = json.dumps(value, ensure_ascii=False, **style).encode()
    except UnicodeEncodeError as error:
        raise JSONEncodeError(str(error)) from None
    return text + b"\n" if option & OPT_APPEND_NEWLINE else text
