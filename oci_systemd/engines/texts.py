"""Configuration files as texts that are changed in place: TOML by tomlkit, JSON by our own patch, and files that are ours whole.

Law: comments, order, indentation and spelling of what does not change are the user's. A change that the format's own parser
does not read back as it was meant is refused.
"""

from __future__ import annotations

import copy
import json
import re
import tomllib
from contextlib import suppress
from typing import TYPE_CHECKING, Any, TypeAlias, cast

import tomlkit
from tomlkit.exceptions import TOMLKitError
from tomlkit.items import Array, InlineTable, Item, Table

from oci_systemd.core.errors import Problem, SpecError
from oci_systemd.core.json_text import parse, patch

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from oci_systemd.core.json_text import Json

Value: TypeAlias = "bool | int | float | str | list[Value] | dict[str, Value] | None"
At: TypeAlias = tuple[str, ...]
INDENT = "  "
OPENING, CLOSING = "# oci-systemd: begin\n", "# oci-systemd: end\n"
BARE = re.compile(r"[A-Za-z0-9_-]+")


class Text:
    """A file's text, with places in it that are named by the keys which lead there.

    `value` is what it says, as plain values; each change is made there, too.
    """

    def __init__(self, file: str, value: dict[str, Any]) -> None:
        self.file = file
        self.value = value

    def get(self, at: At) -> Value:
        """The value at `at`; None where there is none."""
        found: Any = self.value
        for key in at:
            found = found.get(key) if isinstance(found, dict) else None
        return cast("Value", found)

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
        for depth in range(len(at) - 1, len(at) - 1 - made, -1):
            if not _walk(self.value, at[:depth]):
                del _walk(self.value, at[: depth - 1])[at[depth - 1]]

    def text(self) -> str:
        """The new text. A Problem where it would not say what it should."""
        raise NotImplementedError

    def says(self, text: str) -> bool:
        """Whether `text` says what this one does."""
        raise NotImplementedError

    def is_bare(self, start: str) -> bool:
        """Whether nothing is left but what a new file has, which begins with `start`."""
        return not pruned(self.value)


class Toml(Text):
    """TOML. A new table is added at the end; what belongs into a table that is there, by tomlkit."""

    def __init__(self, file: str, text: str) -> None:
        try:
            super().__init__(file, tomllib.loads(text))
            tomlkit.parse(text)
        except (ValueError, TOMLKitError, RecursionError) as error:
            raise damaged(file, f"is no TOML: {error}") from None
        self.content = text

    def raw(self, at: At) -> str:
        return cast("str", _walk(tomlkit.parse(self.content), at).as_string())

    def value_of(self, raw: str) -> Value:
        return cast("Value", tomllib.loads(f"x = {raw}")["x"])

    def put(self, at: At, raw: str) -> None:
        super().set(at, self.value_of(raw))
        self._become(lambda: self._edited(at, tomlkit.parse(f"x = {raw}").item("x")))

    def set(self, at: At, value: Value) -> int:
        made = super().set(at, value)
        self._become(lambda: self._appended(at, value), lambda: self._edited(at, value))
        return made

    def remove(self, at: At, made: int = 0) -> None:
        super().remove(at)
        self._become(lambda: self._edited(at, None))

    def text(self) -> str:
        return self.content

    def is_bare(self, start: str) -> bool:
        comments = (line for line in self.content.splitlines() if line.lstrip().startswith("#"))
        return pruned(self.value).keys() <= {"version"} and all(comment in start for comment in comments)

    def _become(self, *ways: Callable[[], str]) -> None:
        """Take the first of `ways` to write the change whose text says what it should."""
        for way in ways:
            with suppress(ValueError, TOMLKitError, TypeError, KeyError):
                text = way()
                if self.says(text):
                    self.content = text
                    return
        raise Problem(
            f"{self.file} is written in a way that cannot be changed safely, and stays as it is; change it by hand"
        )

    def says(self, text: str) -> bool:
        try:
            return pruned(tomllib.loads(text)) == pruned(self.value)
        except tomllib.TOMLDecodeError:
            return False

    def _appended(self, at: At, value: Value) -> str:
        block = toml(at, value) if isinstance(value, dict) else toml(at[:-1], {at[-1]: value})
        return added(self.content, block)

    def _edited(self, at: At, value: Item | Value) -> str:
        """The text with `value` at `at`, None for without it, by tomlkit."""
        document = tomlkit.parse(self.content)
        parent = document
        for key in at[:-1]:
            parent = parent.setdefault(key, _inline({}) if isinstance(parent, InlineTable) else tomlkit.table(True))
        if value is None:
            del parent[at[-1]]
        elif isinstance(old := parent.get(at[-1]), Array) and isinstance(value, list) and value[: len(old)] == old:
            old.extend(value[len(old) :])
        else:
            parent[at[-1]] = _item(at[-1], value, parent)
        return tomlkit.dumps(document)


def added(text: str, block: str) -> str:
    """`text` and then `block`, a table with a blank line before it."""
    head = text if not text or text.endswith("\n") else text + "\n"
    return head + ("\n" if head and block.startswith(("[", OPENING)) else "") + block


def _walk(value: Any, at: At) -> Any:
    for key in at:
        value = value[key]
    return value


def damaged(file: str, said: str) -> Problem:
    """The error for a file that is not what it should be."""
    return Problem(f"{file} {said}; it stays as it is: correct it first")


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


def _item(key: str, value: Item | Value, parent: Any) -> Item:
    """`value` as tomlkit has it, indented as the last key in `parent` is."""
    if isinstance(value, Item) or isinstance(parent, InlineTable) or key in parent:
        return _inline(value) if isinstance(value, dict) else tomlkit.item(value)
    keys = [item for name, item in parent.value.body if name is not None] if isinstance(parent, Table) else []
    indents = [item.trivia.indent for item in keys if not isinstance(item, Table)]
    text = f"{indents[-1] if indents else ''}{_key(key)} = {tomlkit.item(value).as_string()}\n"
    return cast("Item", tomlkit.parse(text).item(key))


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
        super().__init__(file, copy.deepcopy(self.old))

    def text(self) -> str:
        if not self.old:  # nothing whose style could be followed
            return json.dumps(self.value, indent=2, ensure_ascii=False) + "\n" if self.value else self.given
        return patch(self.given, self.old, _shared(self.old, cast("Json", self.value)))

    def says(self, text: str) -> bool:
        return parse(text.encode())[1] == self.value


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
            super().__init__(file, tomllib.loads(block))
        except ValueError as error:
            raise damaged(file, f"has no TOML between {OPENING.strip()!r} and {CLOSING.strip()!r}: {error}") from None

    def remove(self, at: At, made: int = 0) -> None:
        super().remove(at, len(at) - 1)

    def text(self) -> str:
        block = "".join(toml(at, table) for at, table in _tables(self.value))
        return added(self.before, OPENING + block + CLOSING) + self.after if block else self.before + self.after

    def says(self, text: str) -> bool:
        return Template(self.file, text).value == self.value

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
