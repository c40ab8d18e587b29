"""What `plain_toml` reads, it reads as tomllib does."""

from __future__ import annotations

import tomllib
from pathlib import Path

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from oci_systemd.core.settings import TABLE, flattened
from oci_systemd.host.plain_toml import read
from tests.laws.toml import plain_tables, settings_files, texts

SHIPPED = (Path(__file__).parents[2] / "packaging" / "config.toml").read_text()
BLANK = st.sampled_from(["", " ", "\t", "  "])
NAMES = st.sampled_from(["tmpfs", "log", "size", "level", "a-b_1", "1", "", '"q"', "é", "[x"])
DOTS = st.sampled_from([".", ".", " . ", "\t.", ". ", ".."])
PARTS = st.sampled_from(["a", "a", "b", "b", "1"])  # few, so that they meet
DOTTED = st.builds("{}{}{}".format, PARTS, DOTS, PARTS)
KEYS = st.one_of(NAMES, PARTS, DOTTED, st.builds("{}{}{}".format, DOTTED, DOTS, st.one_of(PARTS, NAMES)))
SCALARS = st.sampled_from([
    "true", "false", "0", "7", "1000", "007", "+1", "1_0", "1.5", '""', '"a"', '"a#b"', '"a\\n"', '"é"', "'a'", '"""', '"""a"""',
    "[]", "[1]", '["/run"]', '["/run", "/a" ,]', '["a",,]', '[ "a","b" ] # c', '["a" "b"]', '[["a"]]', '"a" b', '"a', "nan", "1 2",
    "9" * 30, "1979-05-27",
])  # fmt: skip
ENDS = st.sampled_from(["", " # comment", "#", " \t# ü = [", " x", "\r", "\0", "# \x07"])


HEADERS = st.builds("[{}{}{}]".format, BLANK, KEYS, BLANK)
PAIRS = st.builds("{}{}={}{}".format, KEYS, BLANK, BLANK, SCALARS)
NOISE = st.text(st.sampled_from('[]"#=, \tab1\\\n'), max_size=12)
LINES = st.builds("{}{}{}".format, BLANK, st.one_of(st.just(""), HEADERS, PAIRS, NOISE), ENDS)


@settings(max_examples=1000)
@given(st.one_of(st.lists(LINES, max_size=6).map("\n".join), texts(), texts(plain_tables)))
@example(SHIPPED)
@example(SHIPPED.replace("\n# ", "\n"))
@example("[a]\n[b]\n[a]\nx = 1")
@example("a = 1\n[a]\n")
@example("[a]\nb = 1\nb = 2")
def test_plain_is_what_tomllib_reads(text: str) -> None:
    document = read(text)
    if document is not None:
        assert document == tomllib.loads(text)


@settings(max_examples=500)
@given(settings_files([*TABLE]))
def test_settings_are_plain_in_every_form_that_the_readme_has(text: str) -> None:
    assert read(text) == tomllib.loads(text)


PLAIN = [
    "",
    SHIPPED,
    '[log]\nlevel = "debug" # loud\nfile = ""\n\n[tmpfs]\n\tpaths = ["/run", "/tmp"]\ncopy_up = true\n',
    "[cgroup]\nmax_descendants = 50",
    "cgroup.require_nsdelegate = false",
    'log.level = "debug"\nlog.file = "" # none\ncgroup . max_descendants\t= 0\n[tmpfs]\ncopy_up = true\n',
    "[a]\nb.c = 1\nb.d = 2\nc.b = 3",
    "a.b.c = 1\na.b.d = 2\na.c = 3",
    "1.2 = true\n1.02 = false",
    "[a.b]\nc = 1\n[ a . c ]\n[a.b.d]\n[a.d.e]",
    "[fruit]\napple.color = 1\napple.taste.sweet = true\n[fruit.apple.texture]\nsmooth = true",  # TOML 1.0, "Table"
    "a.b = 1\n[a.c]\nb.c = 1\n[b]\nc.a = 1",
]
# What a dotted key or a header may not do (TOML 1.0, "Keys" and "Table").
MISTAKES = [
    "a.b = 1\na.b = 2",
    "a = 1\na.b = 2",
    "a.b = 1\na = 2",
    "a.b = 1\na.b.c = 2",
    'a = ["x"]\na.b = 1',
    "a.b = 1\n[a]",
    "a.b.c = 1\n[a.b]",
    "[a]\nb.c = 1\n[a.b]",
    "[a]\n[a]",
    "[a]\nb = 1\n[a.b]",
    "[a]\nb = 1\n[a.b.c]",
    "[a.b]\n[a]\nb.c = 1",
    "[a.b]\n[a.b]",
    "a.b = 1\n[a.b]",
    ".a = 1",
    "a. = 1",
    "a..b = 1",
    "a b.c = 1",
    "a.é = 1",
    "a.b = ",
    "a.b",
    "[a.]",
    "[.a]",
    "[a..b]",
    "[]",
    "[[a.b]",
    "[a.b]]",
]
# Right, and left to tomllib.
NOT_PLAIN = ["[a.b]\n[a]\nc = 1", 'a."b" = 1', "a = { b.c = 1 }", "[[a.b]]", "a.b = 1.5", "a.'b' = true"]


@pytest.mark.parametrize("text", PLAIN)
def test_usual_settings_file_is_plain(text: str) -> None:
    assert read(text) == tomllib.loads(text)


@pytest.mark.parametrize("text", MISTAKES)
def test_a_mistake_is_tomllib_s_to_refuse(text: str) -> None:
    assert read(text) is None
    with pytest.raises(tomllib.TOMLDecodeError):
        tomllib.loads(text)


@pytest.mark.parametrize("text", NOT_PLAIN)
def test_what_is_not_plain_is_tomllib_s_to_read(text: str) -> None:
    assert read(text) is None
    assert tomllib.loads(text)


def test_every_setting_of_the_shipped_file_is_plain() -> None:
    uncommented = "\n".join(
        line.removeprefix("# ") if " = " in line else line for line in SHIPPED.split("\n") if "`" not in line
    )
    document = read(uncommented)
    assert document is not None
    assert flattened(document).keys() == TABLE.keys()
