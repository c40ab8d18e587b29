"""TOML texts in any layout: tables by header, dotted or inline, in any order, indented at will, with comments everywhere."""

from __future__ import annotations

import tomllib
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from hypothesis import assume
from hypothesis import strategies as st

if TYPE_CHECKING:
    from hypothesis.strategies import DrawFn, SearchStrategy

KEYS = ["a", "b", "x-1", "3", '"q w"', "'l.m'", '"\\u00e4"', '""', "version", "plugins"]
LEAVES: list[str] = """
1 -7 0x1F 1_000 true false 1.5 1e400 nan -inf 1979-05-27 07:32:00 'l#t' "s" "\\"[x]\\"" "# no" "" [] [1,2] ['a',["b"]] {}
""".split()
LEAVES += [
    '"""\n[x]\nk = 1\n"""',
    "'''\n# no\n'''",
    '[ # why\n  "a", # that\n\n  "b"\n]',
    "[\n\t1,\n\t2,\n]",
    "[{ c = 1 }, {c = 2}]",
    "1979-05-27T07:32:00Z",
    '{ c=1,"d"=[] }',
]
COMMENTS = ["# c", "#", "#\t\u00e4 = [", "# [t]", "## version = 9"]
BLANKS = ["", "", "", " ", "  ", "\t", "    "]


@dataclass
class Table:
    """Keys, as spelled, with the text of their values, and the tables below."""

    leaves: dict[str, str] = field(default_factory=dict)
    tables: dict[str, Table] = field(default_factory=dict)


def spelled(key: str) -> SearchStrategy[str]:
    """The ways to write a key that is a name, or needs quotes."""
    quoted = [f'"{key}"', f"'{key}'"]
    return st.sampled_from(
        quoted
        if set(key) - set("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ_-0123456789")
        else [key, key, *quoted]
    )


leaves = st.dictionaries(st.sampled_from(KEYS), st.sampled_from(LEAVES), max_size=3)
tables: SearchStrategy[Table] = st.recursive(
    leaves.map(Table),
    lambda inner: st.builds(Table, leaves, st.dictionaries(st.sampled_from(KEYS), inner, max_size=3)),
    max_leaves=6,
)

PLAIN_KEYS = ["a", "b", "x-1", "3", "version"]
PLAIN_LEAVES = ["7", "true", "false", '"s"', '""', '"# no"', "[]", '["a", "=b]" ,]']
plain_leaves = st.dictionaries(st.sampled_from(PLAIN_KEYS), st.sampled_from(PLAIN_LEAVES), max_size=3)
# Of what `host/plain_toml` reads alone: bare keys, and values on one line.
plain_tables: SearchStrategy[Table] = st.recursive(
    plain_leaves.map(Table),
    lambda inner: st.builds(Table, plain_leaves, st.dictionaries(st.sampled_from(PLAIN_KEYS), inner, max_size=3)),
    max_leaves=6,
)


class Written:
    """A table's text in a layout that is drawn."""

    def __init__(self, draw: DrawFn, table: Table) -> None:
        self.draw = draw
        self.noisy: bool = draw(st.booleans())
        self.indented: bool = draw(st.booleans())
        self.blocks: list[list[str]] = []
        self._block((), table)
        first, *rest = self.blocks
        rest = draw(st.permutations(rest)) if draw(st.integers(0, 3)) == 0 else rest
        end = draw(st.sampled_from(["\n", "\n", "\n", "\r\n"]))
        text = "\n".join(line for block in [first, *rest] for line in block)
        self.text = text.replace("\n", end) + (end if text and draw(st.integers(0, 3)) else "")

    def _block(self, path: tuple[str, ...], table: Table) -> None:
        lines: list[str] = []
        self.blocks.append(lines)
        if path and (table.leaves or not table.tables or self._either()):
            self._line(
                lines,
                f"[{self._blank()}{(self._blank() + '.' + self._blank()).join(path)}{self._blank()}]",
                len(path) - 1,
            )
        beside = [key for key in table.tables if self.draw(st.integers(0, 5)) == 0]
        for key, value in self._body(table, beside):
            self._line(lines, f"{key}{self._blank()}={self._blank()}{value}", len(path))
        for key, each in table.tables.items():
            if key not in beside:
                self._block((*path, key), each)

    def _body(self, table: Table, beside: list[str]) -> list[tuple[str, str]]:
        """The keys that stand below a table's header: its own, and those of the tables `beside`, which are dotted or inline."""
        found = list(table.leaves.items())
        for key in beside:
            each = table.tables[key]
            if each.leaves and self._either():
                found += [(f"{key}{self._blank()}.{self._blank()}{name}", value) for name, value in self._flat(each)]
            else:
                found.append((key, self._inline(each)))
        return found

    def _flat(self, table: Table) -> list[tuple[str, str]]:
        below = [
            (f"{key}{self._blank()}.{self._blank()}{name}", value)
            for key, each in table.tables.items()
            for name, value in self._flat(each)
        ]
        return [*table.leaves.items(), *below]

    def _inline(self, table: Table) -> str:
        pairs = [(key, value if "\n" not in value else "1") for key, value in table.leaves.items()]
        pairs += [(key, self._inline(each)) for key, each in table.tables.items()]
        inner = ", ".join(f"{key}{self._blank()}={self._blank()}{value}" for key, value in pairs)
        return f"{{{self._blank()}{inner}{self._blank()}}}"

    def _line(self, lines: list[str], text: str, depth: int) -> None:
        if self.noisy:
            lines += self.draw(st.lists(st.one_of(st.sampled_from(COMMENTS), st.sampled_from(BLANKS)), max_size=2))
        indent = self._blank() if self.noisy else "  " * depth if self.indented else ""
        comment = self.draw(st.sampled_from(["", "", " # why", "#"])) if self.noisy else ""
        lines.append(indent + text + comment)

    def _either(self) -> bool:
        found: bool = self.draw(st.booleans())
        return found

    def _blank(self) -> str:
        return self.draw(st.sampled_from(BLANKS)) if self.noisy else ""


@st.composite
def texts(draw: DrawFn, wanted: SearchStrategy[Table] = tables) -> str:
    """The text of a table, and as TOML it is right."""
    text = Written(draw, draw(wanted)).text
    try:
        tomllib.loads(text)
    except tomllib.TOMLDecodeError:  # a dotted table that another part of the text defines by its header
        assume(False)
    return text


# Values as settings have them: whether one suits its setting is nothing to TOML.
VALUES = ["true", "1000", '"64m"', '["/run", "/tmp"]', '""']


@st.composite
def settings_files(draw: DrawFn, names: list[str]) -> str:
    """Settings as the README writes them: dotted at the top, below their table's header, or some so and some so."""
    chosen = draw(st.lists(st.sampled_from(names), unique=True))
    dotted = {name.partition(".")[0] for name in chosen if draw(st.booleans())}
    lines = [f"{name} = {draw(st.sampled_from(VALUES))}" for name in chosen if name.partition(".")[0] in dotted]
    for table in dict.fromkeys(name.partition(".")[0] for name in chosen):
        if table not in dotted:
            below = [name.partition(".")[2] for name in chosen if name.partition(".")[0] == table]
            lines += [f"[{table}]", *(f"{key} = {draw(st.sampled_from(VALUES))}" for key in below)]
    return "\n".join(f"{draw(st.sampled_from(['', '', '# why' + chr(10)]))}{line}" for line in lines)


CRI = {2: "io.containerd.grpc.v1.cri", 3: "io.containerd.cri.v1.runtime"}


@st.composite
def containerd(draw: DrawFn) -> Table:
    """What may stand in containerd's configuration, and much that may not."""
    version = draw(st.sampled_from([2, 2, 3, 3, None, 1]))
    top = draw(tables)
    top.tables.pop("plugins", None)
    for key in ("version", "plugins"):
        top.leaves.pop(key, None)
    if version:
        top.leaves["version"] = draw(st.sampled_from([str(version), f"{version}", f"0x{version}"]))
    if draw(st.integers(0, 2)) == 0:
        top.leaves["imports"] = draw(
            st.sampled_from(
                ["[]", '["/etc/x.toml"]', "['conf.d/*.toml', # mine\n]", '[\n  "/etc/containerd/d/*.toml"\n]']
            )
        )
    if draw(st.integers(0, 4)):
        plugin, name = draw(tables), draw(spelled(CRI.get(version or 2, "cri")))
        if draw(st.integers(0, 4)):
            plugin.tables["containerd"] = draw(runtimes())
        top.tables["plugins"] = Table({}, {name: plugin} | draw(tables).tables)
    return top


@st.composite
def runtimes(draw: DrawFn) -> Table:
    """The table `containerd` of the plugin."""
    default = draw(st.sampled_from(["", "'runc'", '"kata"']))
    found = Table({"default_runtime_name": default} if default else {})
    names = draw(st.lists(st.sampled_from(["runc", "kata", "nvidia"]), unique=True))
    of = Table(
        {"runtime_type": '"io.containerd.runc.v2"'}, {"options": Table({"SystemdCgroup": "true", "BinaryName": "''"})}
    )
    even_none: bool = draw(st.booleans())
    if names or even_none:
        found.tables["runtimes"] = Table(
            {}, {name: draw(st.sampled_from([of, Table(), draw(tables)])) for name in names}
        )
    return found
