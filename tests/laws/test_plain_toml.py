"""What `plain_toml` reads, it reads as tomllib does."""

from __future__ import annotations

import tomllib
from pathlib import Path

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from oci_systemd.core.settings import flattened
from oci_systemd.host.plain_toml import read

SHIPPED = (Path(__file__).parents[2] / "packaging" / "config.toml").read_text()
KEYS = st.sampled_from(["tmpfs", "log", "size", "level", "a-b_1", "1", "", "a.b", '"q"', "é", "[x"])
SCALARS = st.sampled_from([
    "true", "false", "0", "7", "1000", "007", "+1", "1_0", "1.5", '""', '"a"', '"a#b"', '"a\\n"', '"é"', "'a'", '"""', '"""a"""',
    "[]", "[1]", '["/run"]', '["/run", "/a" ,]', '["a",,]', '[ "a","b" ] # c', '["a" "b"]', '[["a"]]', '"a" b', '"a', "nan", "1 2",
    "9" * 30, "1979-05-27",
])  # fmt: skip
BLANK = st.sampled_from(["", " ", "\t", "  "])
ENDS = st.sampled_from(["", " # comment", "#", " \t# ü = [", " x", "\r", "\0", "# \x07"])


HEADERS = st.builds("[{}{}{}]".format, BLANK, KEYS, BLANK)
PAIRS = st.builds("{}{}={}{}".format, KEYS, BLANK, BLANK, SCALARS)
NOISE = st.text(st.sampled_from('[]"#=, \tab1\\\n'), max_size=12)
LINES = st.builds("{}{}{}".format, BLANK, st.one_of(st.just(""), HEADERS, PAIRS, NOISE), ENDS)


@settings(max_examples=1000)
@given(st.lists(LINES, max_size=6).map("\n".join))
@example(SHIPPED)
@example(SHIPPED.replace("\n# ", "\n"))
@example("[a]\n[b]\n[a]\nx = 1")
@example("a = 1\n[a]\n")
@example("[a]\nb = 1\nb = 2")
def test_plain_is_what_tomllib_reads(text: str) -> None:
    document = read(text)
    if document is not None:
        assert document == tomllib.loads(text)


PLAIN = [
    "",
    SHIPPED,
    '[log]\nlevel = "debug" # loud\nfile = ""\n\n[tmpfs]\n\tpaths = ["/run", "/tmp"]\ncopy_up = true\n',
    "[cgroup]\nmax_descendants = 50",
]


@pytest.mark.parametrize("text", PLAIN)
def test_usual_settings_file_is_plain(text: str) -> None:
    assert read(text) == tomllib.loads(text)


def test_every_setting_of_the_shipped_file_is_plain() -> None:
    uncommented = "\n".join(
        line.removeprefix("# ") if " = " in line else line for line in SHIPPED.split("\n") if "`" not in line
    )
    document = read(uncommented)
    assert document is not None
    assert len(flattened(document)) == 13
