"""A file's text with values at places: the common part of the formats, and the file that only we write."""

from __future__ import annotations

import copy
import json
from abc import ABC, abstractmethod
from typing import Any, TypeAlias, cast

from oci_systemd.core.errors import Problem

Value: TypeAlias = "bool | int | float | str | list[Value] | dict[str, Value] | None"
At: TypeAlias = tuple[str, ...]
MARK = (
    "\ufeff"  # the byte order mark, which Windows' editors put at the start; dockerd, CRI-O and containerd 1.x skip it
)
DEEPEST = 100  # nested tables and lists: values are copied and compared recursively
# These keys depend on the file's `version`: as long as one of them exists, the version is not removed.
VERSIONED = ("plugins", "required_plugins", "disabled_plugins")


class Text(ABC):
    """A file's text. A place in it is the tuple of keys that lead there.

    `value` is the content as plain values, which each change updates too. `pieces` are lines of ours that may be in the text, each
    with the lines that they replaced.
    """

    def __init__(self, file: str, value: dict[str, Any]) -> None:
        if _too_deep(value):
            raise damaged(file, f"more than {DEEPEST} nested tables and lists")
        self.file = file
        self.value = value
        self.pieces: list[tuple[str, str]] = []

    def get(self, at: At) -> Value:
        """Return the value at `at`; None if there is none."""
        found: Any = self.value
        for key in at:
            found = found.get(key) if isinstance(found, dict) else None
        return cast("Value", found)

    def has(self, at: At) -> bool:
        """Return whether there is a value at `at`, including JSON's null."""
        parent = self.get(at[:-1])
        return isinstance(parent, dict) and at[-1] in parent

    def raw(self, at: At) -> str:
        """Return the text of the value at `at`, for `put`."""
        return json.dumps(self.get(at))

    def put(self, at: At, raw: str) -> None:
        """Write the text `raw` at `at`."""
        self.set(at, self.value_of(raw))

    def value_of(self, raw: str) -> Value:
        """Return the value of the text `raw`."""
        return cast("Value", json.loads(raw))

    def set(self, at: At, value: Value) -> int:
        """Write `value` at `at`. Return the number of tables that were made around it."""
        parent, made = self.value, 0
        for key in at[:-1]:
            made += parent.get(key) is None
            if parent.get(key) is None:  # also JSON's null
                parent[key] = {}
            parent = parent[key]
            if not isinstance(parent, dict):
                raise Problem(f"{self.file}: {key!r} is not a table; correct the file")
        parent[at[-1]] = copy.deepcopy(value)
        return made

    def remove(self, at: At, made: int = 0) -> None:
        """Remove the value at `at`, and up to `made` tables around it if they are empty then."""
        del walk(self.value, at[:-1])[at[-1]]
        for depth in range(len(at) - 1, max(len(at) - 1 - made, 0), -1):
            if not walk(self.value, at[:depth]):
                del walk(self.value, at[: depth - 1])[at[depth - 1]]

    @abstractmethod
    def text(self) -> str:
        """Return the new text. Raise a Problem if its values would be wrong."""

    @abstractmethod
    def says(self, text: str) -> bool:
        """Return whether `text` has the same values as this text."""

    def is_bare(self, start: str) -> bool:
        """Return whether only the content of a new file is left, which is `start`."""
        return not pruned(self.value)

    def unsafe(self) -> Problem:
        """Return the error if no way of writing the change gives the right values."""
        return Problem(f"{self.file}: cannot be changed safely; change it by hand; the file is unchanged")

    def needs(self, at: At) -> bool:
        """Return whether the rest of the file depends on the value at `at`."""
        return at == ("version",) and any(map(pruned(self.value).get, VERSIONED))


class Whole(Text):
    """A file that only we write; its only place is ()."""

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


def damaged(file: str, said: str) -> Problem:
    """Return the error for an invalid file."""
    return Problem(f"{file}: {said}; correct the file, which is unchanged")


def pruned(value: dict[str, Any]) -> dict[str, Any]:
    """Return `value` without empty tables, which TOML need not write."""
    items = ((key, pruned(each) if isinstance(each, dict) else each) for key, each in value.items())
    return {key: item for key, item in items if item != {}}


def walk(value: Any, at: At) -> Any:
    """Return the value at `at` in `value`. Raise KeyError if there is none."""
    for key in at:
        value = value[key]
    return value


def _too_deep(value: Any) -> bool:
    """Return whether `value` has more than DEEPEST nested tables and lists."""
    level, depth = [value], 0
    while level and depth <= DEEPEST:
        inner = ([*each.values()] if isinstance(each, dict) else each for each in level)
        level = [item for items in inner for item in items if isinstance(item, (dict, list))]
        depth += 1
    return bool(level)
