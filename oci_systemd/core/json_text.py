"""JSON as a value and as a text: `parse` reads a spec, `patch` writes a changed spec back into its text.

Law: unchanged values keep their bytes. Indentation, key order, escapes and the spelling of numbers stay, since only changed values
are written. `_json` is the C half of the standard `json`. The Python half imports `re`, which alone costs more than reading,
changing and writing a whole spec.
"""

from __future__ import annotations

from _json import encode_basestring_ascii, make_scanner, scanstring

from oci_systemd.core.errors import SpecError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from typing import TypeAlias

    Json: TypeAlias = "bool | int | float | str | list[Json] | dict[str, Json] | None"

BLANKS = " \t\n\r"
LITERALS = {None: "null", True: "true", False: "false"}


def _unique(pairs: list[tuple[str, Json]]) -> dict[str, Json]:
    """Return an object's members. Runtimes disagree on a duplicate key: Go merges, C takes the first, Python the last."""
    value = dict(pairs)
    if len(value) != len(pairs):
        twice = next(key for (key, _), first in zip(pairs, [*value, None], strict=False) if key != first)
        raise SpecError(f"invalid JSON: duplicate key {twice!r} in one object")
    return value


def _integer(digits: str) -> int | float:
    """Python 3.11 and later refuse an int of more than 4300 digits; the text keeps them all."""
    try:
        return int(digits)
    except ValueError:
        return float(digits)


def _constant(name: str) -> float:
    raise SpecError(f"invalid JSON: {name} is not a value")


class _Context:
    """The attributes that `_json.make_scanner` reads (CPython, Modules/_json.c, scanner_new)."""

    strict = True
    object_hook = None
    parse_float = float
    parse_int = staticmethod(_integer)
    parse_constant = staticmethod(_constant)

    def __init__(self, pairs_hook: Callable[[list[tuple[str, Json]]], dict[str, Json]] | None) -> None:
        self.object_pairs_hook = pairs_hook


_scan = make_scanner(_Context(_unique))  # type: ignore[arg-type]  # typeshed takes the context for a scanner
_skip = make_scanner(_Context(None))  # type: ignore[arg-type]  # the same


def parse(data: bytes) -> tuple[str, Json]:
    """Return the text of `data` and its value. Raise SpecError, with the position, unless it is one JSON value in UTF-8."""
    try:
        text = data.decode()
    except UnicodeDecodeError as error:
        raise SpecError(f"not UTF-8: byte {error.start} is 0x{data[error.start]:02x}") from None
    try:
        value, end = _scanned(text, _skip_blanks(text, 0))
    except StopIteration as error:
        raise SpecError(f"invalid JSON: missing value at {_where(text, error.value)}") from None
    except RecursionError:
        raise SpecError("invalid JSON: nested too deeply") from None
    except ValueError as error:  # json.JSONDecodeError, whose pos is the index in the text
        raise SpecError(f"invalid JSON: {_reason(error)} at {_where(text, getattr(error, 'pos', 0))}") from None
    end = _skip_blanks(text, end)
    if end < len(text):
        raise SpecError(f"invalid JSON: extra text after the value at {_where(text, end)}")
    return text, value


def _scanned(text: str, start: int) -> tuple[Json, int]:
    try:
        value: tuple[Json, int] = _scan(text, start)
    except SystemError:
        import json.decoder  # noqa: F401  # up to Python 3.12 the C half takes its exception from this module

        value = _scan(text, start)
    return value


def _reason(error: ValueError) -> str:
    message: str = getattr(error, "msg", str(error))
    return message[:1].lower() + message[1:]


def _where(text: str, index: int) -> str:
    line = text.count("\n", 0, index) + 1
    return f"line {line}, column {index - text.rfind(chr(10), 0, index)}"


def patch(text: str, old: Json, new: Json) -> str:
    """Return `text`, the text of `old`, changed into the text of `new`.

    Values that `new` shares with `old` (the same objects) keep their bytes; the others are written in the style of the text.
    `old` must come from `parse(text)`.
    """
    if new is old:
        return text
    start = _skip_blanks(text, 0)
    try:
        changed, end = _Patch(text, start).value(start, old, new, 0)
    except RecursionError:  # `parse` had a few more frames left
        raise SpecError("invalid JSON: nested too deeply") from None
    return text[:start] + changed + text[end:]


class _Patch:
    """One patch of one text, in the style of the first items of the outermost object."""

    def __init__(self, text: str, start: int) -> None:
        self.text = text
        self.colon, self.comma, self.newline, self.indent = ":", "", "", ""
        if text.startswith("{", start):
            self._read_style(_Items(self, start, {}, 0, most=2))

    def _read_style(self, items: _Items) -> None:
        for text in items.texts[:1]:
            _, key_end = scanstring(text, 1, True)
            self.colon = text[key_end : _skip_blanks(text, _skip_blanks(text, key_end) + 1)]
            lead = items.leads[0]
            if "\n" in lead:
                self.newline, self.indent = lead[: lead.rfind("\n") + 1], lead[lead.rfind("\n") + 1 :]
        if not self.newline and len(items.leads) > 1:
            self.comma = items.leads[1]

    def value(self, start: int, old: Json, new: Json, depth: int) -> tuple[str, int]:
        """Return the new text of the value at `start`, `depth` levels deep, and the end of its old text."""
        if isinstance(old, dict) and isinstance(new, dict) and old and new:
            return self._object(start, old, new, depth)
        if isinstance(old, list) and isinstance(new, list) and old and new:
            return self._array(start, old, new, depth)
        return self.dump(new, depth), _skip(self.text, start)[1]

    def _object(self, start: int, old: dict[str, Json], new: dict[str, Json], depth: int) -> tuple[str, int]:
        keys = list(enumerate(old))
        changes = {index: (old[key], new[key]) for index, key in keys if key in new and new[key] is not old[key]}
        items = _Items(self, start, changes, depth)
        pieces: list[tuple[int | None, str]] = [(index, items.texts[index]) for index, key in keys if key in new]
        for key in new:
            if key not in old:
                pieces.append((None, encode_basestring_ascii(key) + self.colon + self.dump(new[key], depth + 1)))
        return self._joined(items, pieces), items.end

    def _array(self, start: int, old: list[Json], new: list[Json], depth: int) -> tuple[str, int]:
        if len(new) > len(old) and all(was is now for was, now in zip(old, new, strict=False)):
            return self._appended(start, new[len(old) :], depth)
        aligned = list(_aligned(old, new))
        changes = {
            index: (old[index], value) for index, value in aligned if index is not None and value is not old[index]
        }
        items = _Items(self, start, changes, depth)
        pieces = [
            (index, self.dump(value, depth + 1) if index is None else items.texts[index]) for index, value in aligned
        ]
        return self._joined(items, pieces), items.end

    def _appended(self, start: int, more: list[Json], depth: int) -> tuple[str, int]:
        """Return an array that only grew, such as an environment: the old items are one slice, however many."""
        end = _skip(self.text, start)[1]
        last = len(self.text[start : end - 1].rstrip(BLANKS)) + start
        lead = "," + self._later_lead(_Items(self, start, {}, depth, most=2))
        added = "".join(lead + self.dump(value, depth + 1) for value in more)
        return self.text[start:last] + added + self.text[last:end], end

    def _later_lead(self, items: _Items) -> str:
        """Return the blanks before any item except the first."""
        first = items.leads[0]
        return items.leads[1] if len(items.leads) > 1 else first if "\n" in first else self.comma

    def _joined(self, items: _Items, pieces: list[tuple[int | None, str]]) -> str:
        """Return the items of an object or array in its brackets; an old item keeps the blanks around it."""
        later = self._later_lead(items)
        parts = []
        for position, (index, piece) in enumerate(pieces):
            lead = items.leads[index] if index and position else later if position else items.leads[0]
            parts.append(lead + piece + (items.trails[index] if index is not None else ""))
        return items.opening + ",".join(parts) + items.last + items.closing

    def dump(self, value: Json, depth: int) -> str:
        """Return `value` as new text, `depth` levels deep."""
        if isinstance(value, str):
            return encode_basestring_ascii(value)
        if isinstance(value, dict):
            members = [
                encode_basestring_ascii(key) + self.colon + self.dump(item, depth + 1) for key, item in value.items()
            ]
            return self._enclosed("{", members, "}", depth)
        if isinstance(value, list):
            return self._enclosed("[", [self.dump(item, depth + 1) for item in value], "]", depth)
        return LITERALS[value] if value is None or isinstance(value, bool) else repr(value)

    def _enclosed(self, opening: str, items: list[str], closing: str, depth: int) -> str:
        if not items:
            return opening + closing
        if not self.newline:
            return opening + ("," + self.comma).join(items) + closing
        lead = self.newline + self.indent * (depth + 1)
        return opening + lead + ("," + lead).join(items) + self.newline + self.indent * depth + closing


class _Items:
    """The items of the object or array at `start`: the text of each, with a member's key, and the blanks around each.

    `changes`: old and new value of the changed items, by index. Each item is scanned once, changed or not.
    `most` ends the walk after that many items.
    """

    def __init__(
        self, patch: _Patch, start: int, changes: dict[int, tuple[Json, Json]], depth: int, most: int = -1
    ) -> None:
        text = patch.text
        self.opening = text[start]
        self.closing = "}" if self.opening == "{" else "]"
        self.texts: list[str] = []
        self.leads: list[str] = []
        self.trails: list[str] = []
        self.last = ""
        at = start + 1
        while text[at - 1] != self.closing and len(self.texts) != most:
            begin = _skip_blanks(text, at)
            if text[begin] == self.closing:
                at = begin + 1
                break
            value = begin if self.opening == "[" else _value_start(text, begin)
            if len(self.texts) in changes:
                piece, end = patch.value(value, *changes[len(self.texts)], depth + 1)
                self.texts.append(text[begin:value] + piece)
            else:
                end = _skip(text, value)[1]
                self.texts.append(text[begin:end])
            after = _skip_blanks(text, end)
            self.leads.append(text[at:begin])
            self.trails.append(text[end:after])
            at = after + 1
        self.end = at
        if self.trails:
            self.last, self.trails[-1] = self.trails[-1], ""


def _value_start(text: str, key: int) -> int:
    """Return the start of the value of the member whose key is at `key`."""
    _, key_end = scanstring(text, key + 1, True)
    return _skip_blanks(text, _skip_blanks(text, key_end) + 1)


def _skip_blanks(text: str, index: int) -> int:
    while index < len(text) and text[index] in BLANKS:
        index += 1
    return index


def _aligned(old: list[Json], new: list[Json]) -> Iterator[tuple[int | None, Json]]:
    """Yield each item of `new` with the index of the `old` item that it is or was made from; None if it is new.

    Both lists keep their order. An item that is not an object of `old` was made from the next old item that shares a part of it.
    """
    places = {id(item): index for index, item in enumerate(old)}
    at = 0
    for position, item in enumerate(new):
        index = at if at < len(old) and old[at] is item else places.get(id(item), -1)
        if index < at:
            stop = next(
                (places[id(later)] for later in new[position + 1 :] if places.get(id(later), -1) >= at), len(old)
            )
            index = next((i for i in range(at, stop) if _made_of(item, old[i])), -1)
        if index < 0:
            yield None, item
        else:
            yield index, item
            at = index + 1


def _made_of(new: Json, old: Json) -> bool:
    if not isinstance(new, dict) or not isinstance(old, dict):
        return False
    return any(
        value is old.get(key) for key, value in new.items() if isinstance(value, (str, list, dict)) and len(value) > 1
    )


def line(value: Json) -> str:
    """Return `value` on one line of ASCII, without blanks between its parts."""
    return _Patch("", 0).dump(value, 0)
