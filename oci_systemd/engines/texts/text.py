"""A file's text with places that have values: what the formats share, and the file that is ours whole."""

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
DEEPEST = 100  # tables and lists in each other: what copies and compares values calls itself for each
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
            made += parent.get(key) is None
            if parent.get(key) is None:  # also JSON's null
                parent[key] = {}
            parent = parent[key]
            if not isinstance(parent, dict):
                raise Problem(f"{self.file}: {key!r} is no table, so that nothing can be set in it; correct it first")
        parent[at[-1]] = copy.deepcopy(value)
        return made

    def remove(self, at: At, made: int = 0) -> None:
        """Take the value at `at` away, and up to `made` of the tables around it that are empty then."""
        del walk(self.value, at[:-1])[at[-1]]
        for depth in range(len(at) - 1, max(len(at) - 1 - made, 0), -1):
            if not walk(self.value, at[:depth]):
                del walk(self.value, at[: depth - 1])[at[depth - 1]]

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


def damaged(file: str, said: str) -> Problem:
    """The error for a file that is not what it should be."""
    return Problem(f"{file} {said}; it stays as it is: correct it first")


def pruned(value: dict[str, Any]) -> dict[str, Any]:
    """`value` without empty tables, which TOML need not write."""
    items = ((key, pruned(each) if isinstance(each, dict) else each) for key, each in value.items())
    return {key: item for key, item in items if item != {}}


def walk(value: Any, at: At) -> Any:
    """What is in `value` at `at`. A KeyError where there is nothing."""
    for key in at:
        value = value[key]
    return value


def _too_deep(value: Any) -> bool:
    """Whether `value` has more than DEEPEST tables and lists in each other."""
    level, depth = [value], 0
    while level and depth <= DEEPEST:
        inner = ([*each.values()] if isinstance(each, dict) else each for each in level)
        level = [item for items in inner for item in items if isinstance(item, (dict, list))]
        depth += 1
    return bool(level)
