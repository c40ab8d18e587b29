"""Whatever a variable says, the old systemd and the new take the very same from the arguments that are made of it."""

from __future__ import annotations

import shlex

from hypothesis import event, given
from hypothesis import strategies as st

from oci_systemd.core.arguments import MOST, _carried
from oci_systemd.core.command_line import BLANKS, QUOTES, SETENV, ends_within_quotes, form_of, setenvs, words

texts = st.text(st.sampled_from("ab= \t\n'\"\\$%,é"), max_size=12)
lists = st.lists(texts.filter(bool), max_size=5)
NAME = "NAME"


def old_reader(args: list[str]) -> list[str] | None:
    """The standard library's: a shell's words, where a backslash is a letter as any other; None for an open quote."""
    lexer = shlex.shlex(" ".join(args), posix=True)
    lexer.whitespace_split, lexer.whitespace, lexer.escape, lexer.commenters = True, BLANKS, "", ""
    try:
        return list(lexer)
    except ValueError:
        return None


@given(lists)
def test_the_old_reader_is_a_shells(args: list[str]) -> None:
    expected = old_reader(args)
    assert ends_within_quotes(args) is (expected is None)
    assert expected is None or words(args) == expected


@given(texts, lists)
def test_both_readers_take_the_same_and_nothing_else(value: str, before: list[str]) -> None:
    if ends_within_quotes(before):
        before = []
    form = form_of(NAME, value)
    event(f"{len(form)} arguments")
    if not form:
        assert all(each in value for each in QUOTES)
        return
    plain = f"{SETENV}{NAME}={value}"
    old = words([*before, *form])[len(words(before)) :]
    assert old[-1] == plain
    assert all(word.startswith(" ") for word in old[:-1])  # no argument of systemd's begins so
    assert [each for each in form if each.startswith(SETENV)] == [plain]
    assert all(each in QUOTES or each[1:-1] == plain for each in form if each != plain)
    assert setenvs([*before, *form])[NAME] == value


@given(st.text(st.characters(exclude_categories=()), max_size=12))
def test_any_value_is_carried_or_has_a_reason(value: str) -> None:
    why, form = _carried(NAME, value, MOST)
    assert bool(why) is not bool(form)
    assert not form or setenvs(form) == {NAME: value}
