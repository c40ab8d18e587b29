"""Configuration files as texts that are changed in place: TOML by tomlkit, JSON by our own patch, and files that are ours whole.

Law: comments, order, indentation and spelling of what does not change are the user's. A change that the format's own parser
does not read back as it was meant is refused.
"""

from __future__ import annotations

import copy
import json
import re
import tomllib
from abc import ABC, abstractmethod
from contextlib import suppress
from functools import partial
from itertools import product
from typing import TYPE_CHECKING, Any, TypeAlias, cast

import tomlkit
from tomlkit.items import Array, InlineTable, Item

from oci_systemd.core.errors import Problem, SpecError
from oci_systemd.core.json_text import parse, patch

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from oci_systemd.core.json_text import Json

Value: TypeAlias = "bool | int | float | str | list[Value] | dict[str, Value] | None"
At: TypeAlias = tuple[str, ...]
# Of what tomlkit raises for a text that it cannot change only some is of its own kind. What it does is checked afterwards.
_STUMBLES = suppress(Exception)
INDENT = "  "
OPENING, CLOSING = "# oci-systemd: begin\n", "# oci-systemd: end\n"
BARE = re.compile(r"[A-Za-z0-9_-]+")
FEW = 8  # signs in one line that are tried for where its value begins and ends
DEEPEST = 100  # tables and lists in each other: what copies and compares values calls itself for each
NAN = float("nan")  # the only one in what is read: it is no other, and still is itself
# What a file's `version` says how to read: while any of them is there, the version is no longer ours to take back.
VERSIONED = ("plugins", "required_plugins", "disabled_plugins")


class Text(ABC):
    """A file's text, with places in it that are named by the keys which lead there.

    `value` is what it says, as plain values; each change is made there, too. `pieces` are lines of ours that may be in it,
    each with what stood there before.
    """

    def __init__(self, file: str, value: dict[str, Any]) -> None:
        if _too_deep(value):
            raise damaged(file, f"has more than {DEEPEST} tables and lists in each other")
        self.file = file
        self.value = value
        self.pieces: list[tuple[str, str]] = []

    def get(self, at: At) -> Value:
        """The value at `at`; None where there is none."""
        found: Any = self.value
        for key in at:
            found = found.get(key) if isinstance(found, dict) else None
        return cast("Value", found)

    def has(self, at: At) -> bool:
        """Whether anything is at `at`, and be it JSON's null."""
        parent = self.get(at[:-1])
        return isinstance(parent, dict) and at[-1] in parent

    def raw(self, at: At) -> str:
        """The text of the value at `at`, for `put`."""
        return json.dumps(self.get(at))

    def put(self, at: At, raw: str) -> None:
        """Write what `raw` gave at `at` again."""
        self.set(at, self.value_of(raw))

    def value_of(self, raw: str) -> Value:
        """What `raw` says."""
        return cast("Value", json.loads(raw))

    def set(self, at: At, value: Value) -> int:
        """Write `value` at `at`; the number of tables around it that had to be made."""
        parent, made = self.value, 0
        for key in at[:-1]:
            made += key not in parent
            parent = parent.setdefault(key, {})
            if not isinstance(parent, dict):
                raise Problem(f"{self.file}: {key!r} is no table, so that nothing can be set in it; correct it first")
        parent[at[-1]] = copy.deepcopy(value)
        return made

    def remove(self, at: At, made: int = 0) -> None:
        """Take the value at `at` away, and up to `made` of the tables around it that are empty then."""
        del _walk(self.value, at[:-1])[at[-1]]
        for depth in range(len(at) - 1, max(len(at) - 1 - made, 0), -1):
            if not _walk(self.value, at[:depth]):
                del _walk(self.value, at[: depth - 1])[at[depth - 1]]

    @abstractmethod
    def text(self) -> str:
        """The new text. A Problem where it would not say what it should."""

    @abstractmethod
    def says(self, text: str) -> bool:
        """Whether `text` says what this one does."""

    def is_bare(self, start: str) -> bool:
        """Whether nothing is left but what a new file has, which begins with `start`."""
        return not pruned(self.value)

    def unsafe(self) -> Problem:
        """The error where no text was found that says what it should."""
        return Problem(
            f"{self.file} is written in a way that cannot be changed safely, and stays as it is; change it by hand"
        )

    def needs(self, at: At) -> bool:
        """Whether the rest of the file could not be read without what is at `at`."""
        return at == ("version",) and any(map(pruned(self.value).get, VERSIONED))


class Toml(Text):
    """TOML. A new table is added at the end, a new key below its table's header; what is more than that is done by tomlkit."""

    def __init__(self, file: str, text: str) -> None:
        try:
            value = _loads(text)
        except (ValueError, RecursionError) as error:
            raise damaged(file, f"is no TOML: {error}") from None
        super().__init__(file, value)
        self.content = text

    def raw(self, at: At) -> str:
        with _STUMBLES:
            raw = _item_at(tomlkit.parse(self.content), at).as_string()
            if _loads(f"x = {raw}") == {"x": self.get(at)}:
                return raw
        raise self.unsafe()

    def value_of(self, raw: str) -> Value:
        return cast("Value", _loads(f"x = {raw}")["x"])

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
        self._become(lambda: self._cut(at), lambda: self._edited(at, None), lambda: self._on_its_line(at, None))
        if made:
            self._become(lambda: self._without_header(at[:-1]), lambda: self.content)

    def text(self) -> str:
        return self.content

    def is_bare(self, start: str) -> bool:
        comments = (line for line in self.content.splitlines() if line.lstrip().startswith("#"))
        return pruned(self.value).keys() <= {"version"} and all(comment in start for comment in comments)

    def _become(self, *ways: Callable[[], str]) -> None:
        """Take the first way to write the change whose text says what it should: a piece taken back, or one of `ways`."""
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
            return pruned(_loads(text)) == pruned(self.value)
        except ValueError:
            return False

    def _cut(self, at: At) -> str:
        """The text without the lines of the table at `at`, and the blank one before it; comments behind its last key stay."""
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
        """The text without the header of the table at `at`, and the blank line before it, where nothing is in it."""
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
        """The text with a new key behind the last one below the header of its table, or before the first header."""
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
        """The text with `raw` for the value of a key that has a line of its own below its table's header; None for no line."""
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
        """The text with `value` at `at`, None for without it, by tomlkit."""
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
    """`text` with the lines `was` in the place of the lines `now`, where these stand there once; else as it is."""
    start = text.find(now)
    whole = text[start - 1 : start] in ("", "\n")
    return text[:start] + was + text[start + len(now) :] if whole and text.count(now) == 1 else text


def added(text: str, block: str) -> str:
    """`text` and then `block`, a table with a blank line before it."""
    head = text if not text or text.endswith("\n") else text + "\n"
    return head + ("\n" if head and block.startswith(("[", OPENING)) else "") + block


def _became(array: object, value: Value) -> bool:
    """Make `array` say `value` by items that come last or go, so that the others keep their lines; False where that cannot be."""
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


def _walk(value: Any, at: At) -> Any:
    for key in at:
        value = value[key]
    return value


def _item_at(document: Any, at: At) -> Item:
    """tomlkit's item at `at`; what it gives for a key is a plain value where that is true or false."""
    parent = _walk(document, at[:-1])
    return cast("Item", parent.item(at[-1]) if hasattr(parent, "item") else parent[at[-1]])


def _too_deep(value: Any) -> bool:
    """Whether `value` has more than DEEPEST tables and lists in each other."""
    level, depth = [value], 0
    while level and depth <= DEEPEST:
        inner = ([*each.values()] if isinstance(each, dict) else each for each in level)
        level = [item for items in inner for item in items if isinstance(item, (dict, list))]
        depth += 1
    return bool(level)


def _loads(text: str) -> dict[str, Any]:
    """What TOML text says. A ValueError where it is none."""
    return tomllib.loads(text, parse_float=lambda digits: NAN if "nan" in digits else float(digits))


def _header(line: str) -> At | None:
    """The keys of the table that a line opens; None where it opens none."""
    if not line.lstrip().startswith("["):
        return None
    keys: list[str] = []
    with suppress(ValueError):
        value = _loads(line)
        while isinstance(value, dict) and value:
            keys += value
            value = value[keys[-1]]
    return tuple(keys) or None


def damaged(file: str, said: str) -> Problem:
    """The error for a file that is not what it should be."""
    return Problem(f"{file} {said}; it stays as it is: correct it first")


def _span(line: str, key: str) -> tuple[int, int] | None:
    """Where the value stands in a line that gives one to `key`; None in any other line."""
    with suppress(ValueError):
        said = _loads(line)
        if [*said] != [key] or isinstance(said[key], dict):
            return None
        starts = [index + 1 for index, letter in enumerate(line) if letter == "="]
        ends = [index for index, letter in enumerate(line) if letter == "#"]
        for start, end in product(starts[:FEW], [*ends[:FEW], len(line)]):
            with suppress(ValueError):
                value = line[start:end].strip()
                if _loads(f"{line[:start]}{value}") == said == {key: _loads(f"x = {value}")["x"]}:
                    start += len(line[start:]) - len(line[start:].lstrip())
                    return start, start + len(value)
    return None


def toml(at: At, value: Value, indent: str = "") -> str:
    """`value` as TOML text at `at`: a table with its header, what it holds indented below it, or a key and its value."""
    if not isinstance(value, dict):
        return f"{indent}{_key(at[-1])} = {tomlkit.item(value).as_string()}\n"
    header = f"{indent}[{'.'.join(map(_key, at))}]\n" if at else ""
    below = indent + INDENT if at else indent
    tables_last = sorted(value, key=lambda key: isinstance(value[key], dict))
    return header + "".join(toml((*at, key), value[key], below) for key in tables_last)


def _key(key: str) -> str:
    return key if BARE.fullmatch(key) else json.dumps(key)


def _item(value: Item | Value, old: object) -> Item:
    """`value` as tomlkit has it, with the comment of the item that it replaces."""
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


def pruned(value: dict[str, Any]) -> dict[str, Any]:
    """`value` without empty tables, which TOML need not write."""
    items = ((key, pruned(each) if isinstance(each, dict) else each) for key, each in value.items())
    return {key: item for key, item in items if item != {}}


class JsonText(Text):
    """JSON, where what does not change keeps its bytes."""

    def __init__(self, file: str, text: str) -> None:
        try:
            self.given, self.old = parse(text.encode() if text.strip() else b"{}")
        except SpecError as problem:
            raise damaged(file, str(problem).replace("it is not JSON", "is no JSON", 1)) from None
        if not isinstance(self.old, dict):
            raise damaged(file, "holds no JSON object")
        super().__init__(file, self.old)
        self.value = copy.deepcopy(self.old)

    def text(self) -> str:
        if not self.old:  # nothing whose style could be followed
            return json.dumps(self.value, indent=2, ensure_ascii=False) + "\n" if self.value else self.given
        text = patch(self.given, self.old, _shared(self.old, cast("Json", self.value)))
        if not self.says(text):
            raise self.unsafe()
        return text

    def says(self, text: str) -> bool:
        try:
            return (parse(text.encode())[1] if text.strip() else {}) == self.value
        except SpecError:
            return False


def _shared(old: Json, new: Json) -> Json:
    """`new`, with `old`'s own objects where they are equal: `patch` keeps the text of those."""
    if old == new and type(old) is type(new):
        return old
    if isinstance(old, dict) and isinstance(new, dict):
        return {key: _shared(old.get(key), value) for key, value in new.items()}
    return new


class Template(Text):
    """A template that makes TOML, as k3s has it: not to be read, but what is added at its end stands between two marks."""

    def __init__(self, file: str, text: str) -> None:
        self.before, opening, rest = text.partition(OPENING)
        block, closing, self.after = rest.partition(CLOSING)
        self.before = self.before.removesuffix("\n") if opening and self.before.endswith("\n\n") else self.before
        if bool(opening) != bool(closing):
            raise damaged(file, f"has one of the lines {OPENING.strip()!r} and {CLOSING.strip()!r} without the other")
        try:
            value = _loads(block)
        except (ValueError, RecursionError) as error:
            raise damaged(file, f"has no TOML between {OPENING.strip()!r} and {CLOSING.strip()!r}: {error}") from None
        super().__init__(file, value)
        self.given = text, copy.deepcopy(value)

    def remove(self, at: At, made: int = 0) -> None:
        super().remove(at, len(at) - 1)

    def text(self) -> str:
        if self.value == self.given[1]:
            return self.given[0]
        block = "".join(toml(at, table) for at, table in _tables(self.value))
        return added(self.before, OPENING + block + CLOSING) + self.after if block else self.before + self.after

    def says(self, text: str) -> bool:
        try:
            value = Template(self.file, text).value
        except Problem:
            return False
        return value == self.value and bool(value) == (OPENING in text)

    def is_bare(self, start: str) -> bool:
        return self.text().strip() == start.strip()


def _tables(value: dict[str, Any], at: At = ()) -> Iterator[tuple[At, dict[str, Any]]]:
    """The outermost tables in `value` that hold more than tables, each with where it is."""
    if any(not isinstance(each, dict) for each in value.values()):
        yield at, value
        return
    for key, each in value.items():
        yield from _tables(each, (*at, key))


class Whole(Text):
    """A file that is ours whole; its one place is ()."""

    def __init__(self, file: str, text: str) -> None:
        super().__init__(file, {})
        self.content = text

    def get(self, at: At) -> Value:
        return self.content or None

    def set(self, at: At, value: Value) -> int:
        self.content = cast("str", value)
        return 0

    def remove(self, at: At, made: int = 0) -> None:
        self.content = ""

    def text(self) -> str:
        return self.content

    def says(self, text: str) -> bool:
        return text == self.content

    def is_bare(self, start: str) -> bool:
        return not self.content
