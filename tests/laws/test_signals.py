"""Signals' names and numbers, against the interpreter's own table and the C library's arithmetic."""

from __future__ import annotations

import re
import signal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from oci_systemd.core import signals

NAMED = {
    name: int(value) for name, value in vars(signal).items() if name.startswith("SIG") and not name.startswith("SIG_")
}
REAL_TIME = {f"SIGRTMIN+{offset}": 34 + offset for offset in range(31)} | {
    f"SIGRTMAX-{offset}": 64 - offset for offset in range(31)
}
KUBERNETES = {name.replace("+", "PLUS").replace("-", "MINUS"): value for name, value in REAL_TIME.items()}
TABLE = {**NAMED, **REAL_TIME, **KUBERNETES, **{str(value): value for value in range(1, 65)}}


@pytest.mark.parametrize("name", TABLE)
def test_each_name_has_its_number_however_it_is_written(name: str) -> None:
    for text in (name, name.lower(), name.title(), name.removeprefix("SIG"), name.removeprefix("SIG").lower()):
        assert signals.number(text) == TABLE[name]
    if name.isdigit():
        assert signals.number("000" + name) == TABLE[name]


words = st.one_of(
    st.text(),
    st.from_regex(r"\A(SIG)?(RTM(IN|AX))?[-+]?[0-9]{0,8}\Z"),
    st.builds("".join, st.permutations(["SIG", "RTMIN", "+", "PLUS", "TERM", "3"]).map(lambda parts: parts[:3])),
)


@given(words)
def test_any_text_is_a_signal_of_linux_or_none(text: str) -> None:
    value = signals.number(text)
    assert value is None or 1 <= value <= 64
    assert signals.is_term((text,)) == (value == 15 or not text)
    word = text.upper()
    if value is None:
        assert word not in TABLE
    elif text.isdigit():
        assert value == int(text)
    else:  # leading zeros of an offset aside, a name that the table has, with or without SIG
        name = re.sub(r"([-+]|PLUS|MINUS)0(?=[0-9])", r"\1", "SIG" + word.removeprefix("SIG"))
        assert TABLE[name] == value


@given(st.text())
def test_any_status_has_its_masks(text: str) -> None:
    status = signals.Status(text)
    assert isinstance(status.awaits(37, "runc"), bool)
