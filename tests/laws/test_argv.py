"""The runtime's command line: whatever the words are, none is lost and none is made up."""

from __future__ import annotations

from collections import Counter

from hypothesis import given
from hypothesis import strategies as st

from oci_systemd.core import argv
from tests.core.build import resent

NAMES = sorted({*argv.GLOBAL, *(name for table in argv.COMMANDS.values() for name in table), *argv.HELP})
words = st.one_of(
    st.sampled_from([*argv.COMMANDS, "state", "exec", "ID", "--", "-", "", "TERM", "15", "/b"]),
    st.builds(lambda dash, name: dash + name, st.sampled_from(["-", "--"]), st.sampled_from(NAMES)),
    st.builds(
        lambda dash, name, value: f"{dash}{name}={value}",
        st.sampled_from(["-", "--"]),
        st.sampled_from(NAMES),
        st.text(max_size=3),
    ),
    st.sampled_from(["-b/b", "-f/f", "-bf", "-dr"]),
    st.text(st.characters(exclude_categories=()), max_size=4),
)
calls = st.lists(words, max_size=8) | st.builds(
    lambda globals, command, rest: [*globals, command, *rest],
    st.lists(words, max_size=2),
    st.sampled_from(sorted(argv.COMMANDS)),
    st.lists(words, max_size=6),
)


@given(calls)
def test_no_word_is_lost_and_none_is_made_up(call: list[str]) -> None:
    invocation = argv.parse(call)
    if invocation is None:
        return
    globals = [word for option in invocation.globals for word in option.words]
    options = [word for option in invocation.options for word in option.words]
    kept = [*globals, invocation.command, *options, *invocation.words]
    dropped = Counter(call) - Counter(kept)
    assert Counter(kept) <= Counter(call)
    assert set(dropped) <= {"--"}
    assert dropped["--"] <= 2
    assert call[: len(globals)] == globals
    for part in (options, invocation.words):
        assert _is_in_order(part, call)


def _is_in_order(part: list[str], whole: list[str]) -> bool:
    rest = iter(whole)
    return all(word in rest for word in part)


@given(calls)
def test_a_translated_kill_differs_in_its_signal_alone(call: list[str]) -> None:
    invocation = argv.parse(call)
    if invocation is None or invocation.command != "kill" or "--" in call or not invocation.id:
        return
    sent = resent(call, invocation)
    before, after = Counter(call), Counter(sent)
    after.subtract(["37"])
    before.subtract(invocation.words[-1:] if invocation.words[1:] else [])
    assert +before == +after
    again = argv.parse(sent)
    assert again is not None
    assert again.words == [invocation.id, *invocation.words[1:-1], "37"]


@given(calls)
def test_state_is_asked_of_the_same_runtime_and_writes_nowhere(call: list[str]) -> None:
    invocation = argv.parse(call)
    if invocation is None:
        return
    asked = invocation.state_call()
    assert asked[-2:] == ["state", invocation.id]
    assert not {option.name for option in invocation.globals if option.words[0] in asked[:-2]} & {
        "log",
        "log-format",
        "debug",
    }


@given(
    st.lists(st.sampled_from(["--root=/r", "--debug", "--systemd-cgroup"]), max_size=2),
    st.permutations(["--bundle=/b", "--pid-file=/p", "ID"]),
)
def test_options_may_stand_behind_the_id(globals: list[str], rest: list[str]) -> None:
    invocation = argv.parse([*globals, "create", *rest])
    assert invocation is not None
    assert (invocation.id, invocation.bundle) == ("ID", "/b")
