"""A template that renders TOML, as in k3s: our tables are between two marks at its end."""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING, Any

from oci_systemd.core.errors import Problem
from oci_systemd.engines.texts.text import Text, damaged
from oci_systemd.engines.texts.toml import CLOSING, OPENING, added, loads, toml

if TYPE_CHECKING:
    from collections.abc import Iterator

    from oci_systemd.engines.texts.text import At


class Template(Text):
    """A template that renders TOML. Only the part between our two marks can be read."""

    def __init__(self, file: str, text: str) -> None:
        self.before, opening, rest = text.partition(OPENING)
        block, closing, self.after = rest.partition(CLOSING)
        self.before = self.before.removesuffix("\n") if opening and self.before.endswith("\n\n") else self.before
        if bool(opening) != bool(closing):
            raise damaged(file, f"only one of the lines {OPENING.strip()!r} and {CLOSING.strip()!r} is present")
        try:
            value = loads(block)
        except (ValueError, RecursionError) as error:
            raise damaged(file, f"invalid TOML between {OPENING.strip()!r} and {CLOSING.strip()!r}: {error}") from None
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
    """Yield the outermost tables in `value` that have keys of their own, each with its place."""
    if any(not isinstance(each, dict) for each in value.values()):
        yield at, value
        return
    for key, each in value.items():
        yield from _tables(each, (*at, key))
