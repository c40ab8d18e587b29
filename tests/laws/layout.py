"""JSON texts in any layout, with odd numbers and escapes, and random edits on them that share what they do not change.

A document is a tree of Nodes: each knows its value's own text, so that what must survive a patch is known to the byte.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from hypothesis import strategies as st

if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import TypeAlias

    from hypothesis.strategies import SearchStrategy

    Draw: TypeAlias = Callable[[SearchStrategy[Any]], Any]

NUMBERS = """
0 1 -1 1.50 1e400 -1E+400 1e-400 123456789012345678901234567890 0.1e1 -0.0 1.0E+2 9007199254740993 100000000000000000000.000
""".split()
STRINGS = [
    r'"abc"',
    r'"\u0061bc"',
    r'"a\/b"',
    r'"\ud83d\ude00x"',
    r'"\ud800 alone"',
    '"\u00e4\U0001f600"',
    r'"\u0000nul"',
    '"\x7f\u2028"',
    r'"\"quoted\""',
]
LITERALS = ["true", "false", "null"]
BLANKS = ["", "", "", " ", "  ", "\n", "\t", "\r\n", " \n  "]
STYLES = [("", "", ""), (" ", " ", ""), (" ", "", "  "), ("", "", "\t"), (" ", "", "    ")]  # colon, comma, indent


@dataclass
class Node:
    """One value: `text` of a leaf, or the members (key's text, Node) of an object, or the items of an array."""

    text: str = ""
    members: list[tuple[str, Node]] | None = None
    items: list[Node] | None = None


def _unique(members: list[tuple[str, Node]]) -> Node:
    return Node(members=list({json.loads(key): (key, node) for key, node in members}.values()))


leaves = st.one_of(st.sampled_from(NUMBERS), st.sampled_from(STRINGS), st.sampled_from(LITERALS)).map(Node)
keys = st.sampled_from([*STRINGS, '"a"', '"b"', '"c"', '""', '"mounts"'])
nodes: SearchStrategy[Node] = st.recursive(
    leaves,
    lambda inner: st.one_of(
        st.lists(inner, max_size=4).map(lambda items: Node(items=items)),
        st.lists(st.tuples(keys, inner), max_size=4).map(_unique),
    ),
    max_leaves=12,
)
# An object in an array is known again by a string that it keeps: here by its name.
named = st.lists(st.tuples(keys, nodes), max_size=3).map(
    lambda members: _unique([('"name"', Node('"a name"')), *members])
)
documents = st.lists(
    st.tuples(keys, st.one_of(nodes, st.lists(named, min_size=1, max_size=4).map(lambda items: Node(items=items)))),
    max_size=5,
).map(_unique)


class Written:
    """A document's text, and where in it each Node stands."""

    def __init__(self, draw: Draw, document: Node) -> None:
        self.draw = draw
        self.style = draw(st.sampled_from([*STYLES, None]))
        self.parts: list[str] = []
        self.length = 0
        self.spans: dict[int, tuple[int, int]] = {}
        self._put(self._blank())
        self._write(document, 0)
        self._put(self._blank())
        self.text = "".join(self.parts)

    def of(self, node: Node) -> str:
        start, end = self.spans[id(node)]
        return self.text[start:end]

    def _put(self, text: str) -> None:
        self.parts.append(text)
        self.length += len(text)

    def _blank(self) -> str:
        return "" if self.style else self.draw(st.sampled_from(BLANKS))

    def _lead(self, depth: int, *, first: bool) -> str:
        if self.style is None:
            return self._blank()
        _, comma, indent = self.style
        return "\n" + indent * depth if indent else "" if first else comma

    def _write(self, node: Node, depth: int) -> None:
        start = self.length
        if node.members is None and node.items is None:
            self._put(node.text)
        else:
            entries: list[tuple[str, Node]] = [*(node.members or ()), *(("", item) for item in node.items or ())]
            self._put("[" if node.members is None else "{")
            for index, (key, entry) in enumerate(entries):
                self._put(("," if index else "") + self._lead(depth + 1, first=not index))
                if key:
                    self._put(f"{key}{self._blank()}:{self._blank() if self.style is None else self.style[0]}")
                self._write(entry, depth + 1)
                self._put(self._blank())
            self._put(self._lead(depth, first=True) if entries else self._blank())
            self._put("]" if node.members is None else "}")
        self.spans[id(node)] = (start, self.length)


fresh: SearchStrategy[Any] = st.recursive(
    st.one_of(
        st.none(),
        st.booleans(),
        st.integers(),
        st.floats(allow_nan=False, allow_infinity=False),
        st.text(st.characters(exclude_categories=()), max_size=5),
    ),
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(st.text(max_size=3), inner, max_size=3)),
    max_leaves=5,
)


class Edited:
    """A value after random edits that copy along their path and share the rest; `kept`: the unchanged parts by new place."""

    def __init__(self, draw: Draw, document: Node, value: Any) -> None:
        self.draw = draw
        self.kept: list[tuple[tuple[str | int, ...], Node]] = []
        self.value = self._edit(document, value, ())

    def _edit(self, node: Node, value: Any, path: tuple[str | int, ...]) -> Any:
        """The value, edited or the very same object."""
        if node.members and self.draw(st.booleans()):
            return self._object(node.members, value, path)
        if node.items and self.draw(st.booleans()):
            return self._array(node.items, value, path)
        if path and self.draw(st.integers(0, 4)) == 0 and node.text:
            return self.draw(fresh)
        self.kept.append((path, node))
        return value

    def _object(self, members: list[tuple[str, Node]], value: dict[str, Any], path: tuple[str | int, ...]) -> Any:
        new: dict[str, Any] = {}
        for key, node in members:
            name = json.loads(key)
            if name == "name":  # what an object in an array is known again by
                new[name] = value[name]
            elif self.draw(st.integers(0, 4)):
                new[name] = self._edit(node, value[name], (*path, name))
        new.update(self.draw(st.dictionaries(st.sampled_from(["new", "n\u00e4w"]), fresh, max_size=1)))
        return new

    def _array(self, items: list[Node], value: list[Any], path: tuple[str | int, ...]) -> Any:
        new: list[Any] = []
        for node, item in zip(items, value, strict=True):
            new += [self.draw(fresh)] if self.draw(st.integers(0, 4)) == 0 else []
            if self.draw(st.integers(0, 4)) == 0:
                continue
            if node.members and json.loads(node.members[0][0]) == "name":
                new.append(self._edit(node, item, (*path, len(new))))
            else:
                self.kept.append(((*path, len(new)), node))
                new.append(item)
        return new


def spans(text: str) -> dict[tuple[str | int, ...], tuple[int, int]]:
    """Where each value of a JSON text stands, by its path. A reader of its own, which knows nothing of the core's."""
    found: dict[tuple[str | int, ...], tuple[int, int]] = {}
    decoder = json.JSONDecoder()

    def blanks(at: int) -> int:
        while at < len(text) and text[at] in " \t\r\n":
            at += 1
        return at

    def read(at: int, path: tuple[str | int, ...]) -> int:
        start, closing = at, {"{": "}", "[": "]"}.get(text[at])
        if closing is None:
            at = decoder.raw_decode(text, at)[1]
        else:
            at, index = blanks(at + 1), 0
            while text[at] != closing:
                key: str | int = index
                if closing == "}":
                    key, at = decoder.raw_decode(text, at)
                    at = blanks(blanks(at) + 1)
                at = blanks(read(at, (*path, key)))
                at, index = (blanks(at + 1) if text[at] == "," else at), index + 1
            at += 1
        found[path] = (start, at)
        return at

    read(blanks(0), ())
    return found
