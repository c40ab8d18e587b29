"""TOML, changed in place: by lines if that is enough, else by tomlkit; each result is read back with tomllib."""

from __future__ import annotations

import json
import re
import tomllib
from contextlib import suppress
from functools import partial
from itertools import product
from typing import TYPE_CHECKING, Any, cast

import tomlkit
from tomlkit.items import Array, InlineTable, Item

from oci_systemd.engines.texts.text import MARK, Text, damaged, pruned, walk

if TYPE_CHECKING:
    from collections.abc import Callable

    from oci_systemd.engines.texts.text import At, Value

# tomlkit raises exceptions of many kinds for a text that it cannot change. Its results are checked afterwards.
_STUMBLES = suppress(Exception)
INDENT = "  "
OPENING, CLOSING = "# oci-systemd: begin\n", "# oci-systemd: end\n"
BARE = re.compile(r"[A-Za-z0-9_-]+")
FEW = 8  # signs in one line that are tried as start and end of its value
NAN = float("nan")  # one object for every nan, so that values that are read compare equal


class Toml(Text):
    """TOML text. A new table is added at the end, a new key below its table's header; tomlkit makes all other changes."""

    def __init__(self, file: str, text: str) -> None:
        try:
            value = loads(text)
        except (ValueError, RecursionError) as error:
            raise damaged(file, f"invalid TOML: {error}") from None
        super().__init__(file, value)
        self.mark = MARK if text.startswith(MARK) else ""
        self.content = text.removeprefix(MARK)

    def raw(self, at: At) -> str:
        with _STUMBLES:
            raw = _item_at(tomlkit.parse(self.content), at).as_string()
            if loads(f"x = {raw}") == {"x": self.get(at)}:
                return raw
        raise self.unsafe()

    def value_of(self, raw: str) -> Value:
        return cast("Value", loads(f"x = {raw}")["x"])

    def put(self, at: At, raw: str) -> None:
        super().set(at, self.value_of(raw))
        self._become(
            lambda: self._edited(at, tomlkit.parse(f"x = {raw}").item("x")), lambda: self._on_its_line(at, raw)
        )

    def set(self, at: At, value: Value) -> int:
        made, headers = super().set(at, value), self._headers(at[:-1])
        ways = (self._appended, self._inserted, self._edited)
        self._become(
            *(partial(way, at, value) for way in ways),
            lambda: self._on_its_line(at, tomlkit.item(value).as_string()),
        )
        return max(made, self._headers(at[:-1]) - headers)

    def remove(self, at: At, made: int = 0) -> None:
        super().remove(at)
        self._become(lambda: self._cut(at), lambda: self._on_its_line(at, None), lambda: self._edited(at, None))
        if made:
            self._become(lambda: self._without_header(at[:-1]), lambda: self.content)

    def text(self) -> str:
        return self.mark + self.content

    def is_bare(self, start: str) -> bool:
        comments = (line for line in self.content.splitlines() if line.lstrip().startswith("#"))
        return pruned(self.value).keys() <= {"version"} and all(comment in start for comment in comments)

    def _become(self, *ways: Callable[[], str]) -> None:
        """Use the first way of writing the change that gives the right values: restoring a piece, or one of `ways`."""
        back = (partial(swapped, self.content, now, was) for now, was in self.pieces)
        attempts: list[Callable[[], str]] = [*back, *ways]
        for way in attempts:
            with _STUMBLES:
                text = way()
                if self.says(text):
                    self.content = text
                    return
        raise self.unsafe()

    def says(self, text: str) -> bool:
        try:
            return pruned(loads(text)) == pruned(self.value)
        except ValueError:
            return False

    def _cut(self, at: At) -> str:
        """Return the text without the table at `at` and the blank line before it; comments after its last key stay."""
        kept: list[str] = []
        behind: list[str] = []
        ours = False
        for line in self.content.splitlines(keepends=True):
            header = _header(line)
            if header is not None:
                was_ours, ours = ours, header[: len(at)] == at
                if ours and not was_ours and kept and not kept[-1].strip():
                    kept.pop()
            if not ours:
                kept += [*behind, line]
                behind = []
            elif line.strip() and not line.lstrip().startswith("#"):
                behind = []
            else:
                behind.append(line)
        return "".join([*kept, *behind])

    def _headers(self, at: At) -> int:
        return sum(_header(line) == at for line in self.content.splitlines())

    def _without_header(self, at: At) -> str:
        """Return the text without the header of the table at `at` and the blank line before it, if the table is empty."""
        lines = self.content.splitlines(keepends=True)
        for index, line in enumerate(lines):
            if _header(line) == at and "".join(lines[index + 1 :]).lstrip()[:1] in ("", "[", "#"):
                start = index - bool(index and not lines[index - 1].strip())
                return "".join([*lines[:start], *lines[index + 1 :]])
        return self.content

    def _appended(self, at: At, value: Value) -> str:
        block = toml(at, value) if isinstance(value, dict) else toml(at[:-1], {at[-1]: value})
        return added(self.content, block)

    def _inserted(self, at: At, value: Value) -> str:
        """Return the text with a new key after the last one below its table's header, or before the first header."""
        lines = self.content.splitlines(keepends=True)
        headers = [(index, header) for index, line in enumerate(lines) if (header := _header(line))]
        starts = [index + 1 for index, header in headers if header == at[:-1]] if at[1:] else [0]
        end = next((index for index, _ in headers if index >= starts[0]), len(lines))
        keys = [index for index in range(starts[0], end) if lines[index].strip() and lines[index].lstrip()[0] != "#"]
        place = keys[-1] + 1 if keys else starts[0]
        like = lines[keys[0]] if keys else ""
        new = toml(at, value, like[: len(like) - len(like.lstrip())])
        before = "".join(lines[:place])
        return before + ("" if not before or before.endswith("\n") else "\n") + new + "".join(lines[place:])

    def _on_its_line(self, at: At, raw: str | None) -> str:
        """Return the text with `raw` as the value of a key on its own line below its table's header; None removes the line."""
        lines = self.content.splitlines(keepends=True)
        header: At = ()
        for index, line in enumerate(lines):
            header = _header(line) or header
            span = _span(line, at[-1]) if header == at[:-1] else None
            if span:
                start, end = span
                lines[index] = "" if raw is None else line[:start] + raw + line[end:]
                break
        return "".join(lines)

    def _edited(self, at: At, value: Item | Value) -> str:
        """Return the text with `value` at `at`, written by tomlkit; None removes it."""
        document = tomlkit.parse(self.content)
        parent = document
        for key in at[:-1]:
            parent = parent.setdefault(key, _inline({}) if isinstance(parent, InlineTable) else tomlkit.table(True))
        if value is None:
            del parent[at[-1]]
        elif isinstance(value, Item) or not _became(parent.get(at[-1]), value):
            parent[at[-1]] = _item(value, _item_at(parent, at[-1:]) if at[-1] in parent else None)
        return tomlkit.dumps(document)


def swapped(text: str, now: str, was: str) -> str:
    """Return `text` with the lines `now` replaced by `was` if they appear once; else unchanged."""
    start = text.find(now)
    whole = text[start - 1 : start] in ("", "\n")
    return text[:start] + was + text[start + len(now) :] if whole and text.count(now) == 1 else text


def added(text: str, block: str) -> str:
    """Return `text` with `block` at its end; a table gets a blank line before it."""
    head = text if not text or text.endswith("\n") else text + "\n"
    return head + ("\n" if head and block.startswith(("[", OPENING)) else "") + block


def toml(at: At, value: Value, indent: str = "") -> str:
    """Return `value` as TOML text at `at`: a table with its header and indented content, or a key with its value."""
    if not isinstance(value, dict):
        return f"{indent}{_key(at[-1])} = {tomlkit.item(value).as_string()}\n"
    header = f"{indent}[{'.'.join(map(_key, at))}]\n" if at else ""
    below = indent + INDENT if at else indent
    tables_last = sorted(value, key=lambda key: isinstance(value[key], dict))
    return header + "".join(toml((*at, key), value[key], below) for key in tables_last)


def loads(text: str) -> dict[str, Any]:
    """Return the document in a TOML text. Raise ValueError if it is invalid."""
    return tomllib.loads(text.removeprefix(MARK), parse_float=lambda digits: NAN if "nan" in digits else float(digits))


def _became(array: object, value: Value) -> bool:
    """Change `array` into `value` by appending or removing items, so the others keep their lines; False if that is impossible."""
    if not isinstance(array, Array) or not isinstance(value, list):
        return False
    if value[: len(array)] == array:
        array.extend(value[len(array) :])
        return True
    left, gone = [*value], []
    for index, item in enumerate(array):
        if left and item == left[0]:
            del left[0]
        else:
            gone.append(index)
    if left:
        return False
    for index in reversed(gone):
        del array[index]
    return True


def _item_at(document: Any, at: At) -> Item:
    """Return tomlkit's item at `at`. By key, tomlkit returns a plain value for true and false."""
    parent = walk(document, at[:-1])
    return cast("Item", parent.item(at[-1]) if hasattr(parent, "item") else parent[at[-1]])


def _header(line: str) -> At | None:
    """Return the keys in a table header; None if the line is not one."""
    if not line.lstrip().startswith("["):
        return None
    keys: list[str] = []
    with suppress(ValueError):
        value = loads(line)
        while isinstance(value, dict) and value:
            keys += value
            value = value[keys[-1]]
    return tuple(keys) or None


def _span(line: str, key: str) -> tuple[int, int] | None:
    """Return start and end of the value in a line that sets `key`; None for any other line."""
    with suppress(ValueError):
        said = loads(line)
        if [*said] != [key] or isinstance(said[key], dict):
            return None
        starts = [index + 1 for index, letter in enumerate(line) if letter == "="]
        ends = [index for index, letter in enumerate(line) if letter == "#"]
        for start, end in product(starts[:FEW], [*ends[:FEW], len(line)]):
            with suppress(ValueError):
                value = line[start:end].strip()
                if loads(f"{line[:start]}{value}") == said == {key: loads(f"x = {value}")["x"]}:
                    start += len(line[start:]) - len(line[start:].lstrip())
                    return start, start + len(value)
    return None


def _key(key: str) -> str:
    return key if BARE.fullmatch(key) else json.dumps(key)


def _item(value: Item | Value, old: object) -> Item:
    """Return `value` as a tomlkit item, with the comment of the item that it replaces."""
    item = _inline(value) if isinstance(value, dict) else tomlkit.item(value)
    if isinstance(old, Item):
        for name in ("indent", "comment_ws", "comment", "trail"):
            setattr(item.trivia, name, getattr(old.trivia, name))
    return item


def _inline(value: dict[str, Value]) -> InlineTable:
    table = tomlkit.inline_table()
    for key, each in value.items():
        table.append(key, _inline(each) if isinstance(each, dict) else tomlkit.item(each))
    return table
