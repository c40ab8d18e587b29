"""Configuration files as texts that are changed in place: what is not changed keeps its bytes, and what is removed takes nobody
else's comment with it.
"""

from __future__ import annotations

import tomllib
from typing import Any

import pytest

from oci_systemd.core.errors import Problem
from oci_systemd.engines.texts.json import JsonText
from oci_systemd.engines.texts.template import Template
from oci_systemd.engines.texts.text import pruned
from oci_systemd.engines.texts.toml import Toml, added, swapped, toml

SET: dict[str, tuple[str, tuple[str, ...], Any, str]] = {
    "a table, at the end": ("a = 1\n", ("t", "u"), {"x": 1}, "a = 1\n\n[t.u]\n  x = 1\n"),
    "a table, in an empty file": ("", ("t",), {"x": True, "u": {"y": []}}, "[t]\n  x = true\n  [t.u]\n    y = []\n"),
    "a table, behind an open line": ("a = 1", ("t",), {"x": 1}, "a = 1\n\n[t]\n  x = 1\n"),
    "keys that need quotes": ("", ("a.b", 'c"d', "ä"), {"x": 1}, '["a.b"."c\\"d"."\\u00e4"]\n  x = 1\n'),
    "a key at the top": ("[t]\nx = 1\n", ("a",), 1, "a = 1\n[t]\nx = 1\n"),
    "a key at the top, behind others": ("b = 1 # b\n\n# of t\n[t]\n", ("a",), [1], "b = 1 # b\na = [1]\n\n# of t\n[t]\n"),
    "a key in a table, indented as its others": ("[t]\n\tx = 1\n[u]\n", ("t", "y"), "z", '[t]\n\tx = 1\n\ty = "z"\n[u]\n'),
    "a key, changed": ("[t] # t\n  x  =  1   # one\n", ("t", "x"), 2, "[t] # t\n  x  =  2   # one\n"),
    "a key in an inline table": ("t = {x = 1} # t\n", ("t", "y"), 2, "t = {x = 1, y = 2} # t\n"),
    "a table in an inline table": ("t = {}\n", ("t", "u", "v"), {"y": {"z": 1}}, "t = {u = {v = {y = {z = 1}}}}\n"),
    "a list, grown": ("l = [\n  1, # one\n]\n", ("l",), [1, 2], "l = [\n  1, # one\n  2,\n]\n"),
    "a list, shrunk": ("l = [\n  1, # one\n  2, # two\n  3, # three\n]\n", ("l",), [1, 3], "l = [\n  1, # one\n  3, # three\n]\n"),
    "a list, another": ("l = [1, 2]\n", ("l",), [2, 1], "l = [2, 1]\n"),
}  # fmt: skip


@pytest.mark.parametrize(("given", "at", "value", "result"), SET.values(), ids=SET)
def test_toml_is_set_in_place(given: str, at: tuple[str, ...], value: Any, result: str) -> None:
    text = Toml("x", given)
    text.set(at, value)
    assert loose(text.text()) == loose(result)
    assert text.get(at) == value
    assert text.value == tomllib.loads(result) | {key: each for key, each in text.value.items() if each == {}}


REMOVED: dict[str, tuple[str, tuple[str, ...], str]] = {
    "a table at the end": ("a = 1\n\n[t.u]\n  x = 1\n", ("t", "u"), "a = 1\n"),
    "a table and its tables": (
        "[a]\n\n[t]\n  x = 1\n  [t.u]\n    y = 1\n  [t.v]\n\n[b]\n",
        ("t",),
        "[a]\n\n[b]\n",
    ),
    "the next table's comment is unchanged": ("[t]\nx = 1\n\n# of b\n[b]\n", ("t",), "\n# of b\n[b]\n"),
    "a comment after it is unchanged": ("[t]\nx = 1\n# the end\n", ("t",), "# the end\n"),
    "a comment in it goes": ("[t]\n# of x\nx = 1 # one\n[b]\n", ("t",), "[b]\n"),
    "lists in it that look like tables": ('[t]\nx = [\n  ["[b]"],\n  []\n]\n[b]\n', ("t",), "[b]\n"),
    "text in it that looks like a table": ('[t]\nx = """\n[b]\n"""\n[b]\ny = 1\n', ("t",), "[b]\ny = 1\n"),
    "a table in two places": ("[t.u]\nx = 1\n[b]\n[t.v]\ny = 1\n", ("t",), "[b]\n"),
    "a key": ("[t]\nx = 1 # one\ny = 2\n", ("t", "x"), "[t]\ny = 2\n"),
    "the last key, before another's comment": ("[t]\nx = 1\n# of b\n[b]\n", ("t", "x"), "[t]\n# of b\n[b]\n"),
    "a dotted key": ("t.u.x = 1\nt.u.y = 2\n", ("t", "u", "x"), "t.u.y = 2\n"),
    "a key in an inline table": ("t = {y = 2, x = 1}\n", ("t", "x"), "t = {y = 2}\n"),
    "an inline table": ("t = { x = 1 } # t\na = 1\n", ("t",), "a = 1\n"),
    "names with dots and quotes": ("['a.b'.\"c d\"] # t\nx = 1\n[a.b]\n", ("a.b", "c d"), "[a.b]\n"),
}


@pytest.mark.parametrize(("given", "at", "result"), REMOVED.values(), ids=REMOVED)
def test_toml_is_removed_with_its_lines(given: str, at: tuple[str, ...], result: str) -> None:
    text = Toml("x", given)
    text.remove(at)
    assert loose(text.text()) == loose(result)


def loose(text: str) -> str:
    """Where tomlkit puts blanks in an inline table is its own affair."""
    return text.replace(" ", "") if "{" in text else text


@pytest.mark.parametrize(
    ("given", "at", "raw"),
    [
        ("[t]\nx = 'a' # b\n", ("t", "x"), "'a'"),
        ("t.x = 0x1F", ("t", "x"), "0x1F"),
        ("t = {x = [ 1,2 ]}", ("t", "x"), "[ 1,2 ]"),
        ("x = [\n  1, # one\n]\n", ("x",), "[\n  1, # one\n]"),
        ("x = true\n", ("x",), "true"),
        ("[a.b]\nx = false\n[c]\n[a]\ny = 'true'\n", ("a", "y"), "'true'"),
        ("x = '''\na'''\n", ("x",), "'''\na'''"),
    ],
)
def test_toml_value_is_put_back_as_it_was_written(given: str, at: tuple[str, ...], raw: str) -> None:
    text = Toml("x", given)
    assert text.raw(at) == raw
    text.set(at, "other")
    text.put(at, raw)
    assert text.text() == given


ODD_VALUES = [
    "x = nan\ny = inf\nz = -nan",
    "x = 1979-05-27T07:32:00Z",
    "x = 0o17\ny = 1_000",
    "x = 1e400",
    "[[t]]\n[[t]]\nx = 1",
]


@pytest.mark.parametrize("given", ODD_VALUES)
def test_toml_with_odd_values_is_changed_like_any(given: str) -> None:
    text = Toml("x", given + "\n")
    text.set(("new", "table"), {"x": 1})
    assert text.text() == given + "\n\n[new.table]\n  x = 1\n"
    text.remove(("new", "table"))
    assert text.text() == given + "\n"


REFUSED = {
    "a value in the way": ("t = 1\n", ("t", "u"), {"x": 1}, "'t' is not a table"),
    "a list in the way": ("[[t]]\n", ("t", "u"), {"x": 1}, "'t' is not a table"),
}


@pytest.mark.parametrize(("given", "at", "value", "said"), REFUSED.values(), ids=REFUSED)
def test_toml_that_has_no_place_for_it_is_refused(given: str, at: tuple[str, ...], value: Any, said: str) -> None:
    with pytest.raises(Problem, match=said):
        Toml("x", given).set(at, value)


@pytest.mark.parametrize("given", ["x", "x = ", "[t", "x = 1\nx = 2", "[t]\n[t]", "\x00", "x = " + "[" * 9999])
def test_text_that_is_no_toml_is_refused(given: str) -> None:
    with pytest.raises(Problem, match=r"^f: invalid TOML: .*; correct the file, which is unchanged"):
        Toml("f", given)


def test_nesting_has_a_bound_that_no_configuration_meets() -> None:
    Toml("f", "x = " + "[" * 99 + "]" * 99).set(("y",), 1)
    with pytest.raises(Problem, match="more than 100 nested tables and lists"):
        Toml("f", "x = " + "[" * 101 + "]" * 101)
    JsonText("f", '{"x":' + "[" * 99 + "]" * 99 + "}").text()
    with pytest.raises(Problem, match="more than 100"):
        JsonText("f", '{"x":' * 102 + "1" + "}" * 102)


SWAPPED = {
    "once": ("a\nb\nc\n", "b\n", "", "a\nc\n"),
    "at the start": ("b\nc\n", "b\n", "x\n", "x\nc\n"),
    "twice": ("b\nb\n", "b\n", "", "b\nb\n"),
    "not there": ("a\n", "b\n", "", "a\n"),
    "in the middle of a line": ("ab\n", "b\n", "", "ab\n"),
    "a blank line that ends somebody's": ("# a\n[t]\n", "\n[t]\n", "", "# a\n[t]\n"),
    "nothing": ("", "", "x", "x"),
}


@pytest.mark.parametrize(("given", "now", "was", "result"), SWAPPED.values(), ids=SWAPPED)
def test_lines_are_swapped_where_they_stand_once(given: str, now: str, was: str, result: str) -> None:
    assert swapped(given, now, was) == result


def test_blank_line_comes_before_a_table() -> None:
    assert added("", "[t]\n") == "[t]\n"
    assert added("a", "[t]\n") == "a\n\n[t]\n"
    assert added("a\n", "b = 1\n") == "a\nb = 1\n"


def test_empty_tables_count_for_nothing() -> None:
    assert pruned({"a": {"b": {}}, "c": {"d": [], "e": {}}}) == {"c": {"d": []}}


TABLES = {
    "a key": (("x",), 1, "x = 1\n"),
    "tables come last": (("t",), {"u": {"y": 1}, "x": 1}, "[t]\n  x = 1\n  [t.u]\n    y = 1\n"),
    "values of every kind": (
        ("t",),
        {"a": True, "b": 1.5, "c": 'q"\\\n', "d": ["x", 1], "e": []},
        '[t]\n  a = true\n  b = 1.5\n  c = "q\\"\\\\\\n"\n  d = ["x", 1]\n  e = []\n',
    ),
}


@pytest.mark.parametrize(("at", "value", "result"), TABLES.values(), ids=TABLES)
def test_value_as_toml(at: tuple[str, ...], value: Any, result: str) -> None:
    assert toml(at, value) == result
    assert tomllib.loads(result)


def test_template_keeps_what_is_around_its_block() -> None:
    given = (
        "{{ if x }}\n[t] {{ y }}\n{{end}}\n# oci-systemd: begin\n[ours]\n  x = 1\n# oci-systemd: end\nbehind = {{ z }}"
    )
    text = Template("f", given)
    assert text.text() == given
    text.set(("ours", "y"), 2)
    assert text.text() == given.replace("{{end}}\n", "{{end}}\n\n").replace("x = 1\n", "x = 1\n  y = 2\n")
    text.remove(("ours", "x"))
    text.remove(("ours", "y"))
    assert text.text() == "{{ if x }}\n[t] {{ y }}\n{{end}}\nbehind = {{ z }}"


BARE = {
    "nothing": ("", "", True),
    "its head": ("# a\n# b\n", "# a\n# b\n", True),
    "a version": ("# a\nversion = 2\n", "# a\n", True),
    "empty tables": ("[t]\n[t.u]\n", "", True),
    "somebody's comment": ("# a\n# c\n", "# a\n", False),
    "somebody's value": ("x = 1\n", "", False),
}


@pytest.mark.parametrize(("given", "start", "bare"), BARE.values(), ids=BARE)
def test_file_with_nothing_left_in_it_is_bare(given: str, start: str, bare: bool) -> None:
    assert Toml("f", given).is_bare(start) is bare


def test_change_that_tomlkit_cannot_make_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """Another parser reads its text back; every error is a Problem."""
    text = Toml("f", "t = { x = 1 }\n")
    monkeypatch.setattr("oci_systemd.engines.texts.toml.tomlkit.dumps", lambda document: "t = { x = 7 }\n")
    with pytest.raises(Problem, match="f: cannot be changed safely"):
        text.set(("t", "x"), 2)
    assert text.text() == "t = { x = 1 }\n"


ON_A_LINE = {
    "its comment is unchanged": ("  x = 'a#b' # c # d\n", "x", '  x = "new" # c # d\n'),
    "signs in its name": ('"x=#"=1#c\r\n', "x=#", '"x=#"="new"#c\r\n'),
    "an open line": ("x = 1", "x", 'x = "new"'),
    "a list": ("x = [ 1, '#' ]  # [\n", "x", 'x = "new"  # [\n'),
}


@pytest.mark.parametrize(("line", "key", "result"), ON_A_LINE.values(), ids=ON_A_LINE)
def test_value_is_changed_among_tables_that_tomlkit_cannot_change(line: str, key: str, result: str) -> None:
    """Where parts of a table stand in several places, as they do once something was added at the end."""
    given = f"[a.b]\nx = 1\n[c]\n[a]\nz = 0\n{{}}\n[d]\n[a.e]\n{key!r} = 9\n"
    text = Toml("f", given.replace("{}\n", line if line.endswith("\n") else line + "\n"))
    text.set(("a", key), "new")
    assert text.text() == given.replace("{}\n", result if result.endswith("\n") else result + "\n")
    text.remove(("a", key))
    assert text.text() == given.replace("{}\n", "")
