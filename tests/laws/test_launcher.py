"""The launcher's grep may match too much, never too little: Python would leave every skipped spec alone, without a message."""

from __future__ import annotations

import json
import re
import subprocess
from functools import cache
from pathlib import Path
from typing import Any

from hypothesis import assume, event, given
from hypothesis import strategies as st

from oci_systemd.core.adjust import adjust
from oci_systemd.core.container import from_spec
from oci_systemd.core.detect import INITS
from oci_systemd.core.errors import Problem
from oci_systemd.core.host import Host
from oci_systemd.core.settings import Settings
from oci_systemd.host import settings_file
from tests.laws.strategies import specs

LAUNCHER = Path(__file__).parents[2] / "packaging" / "launcher" / "oci-systemd-runtime.in"


@cache
def pattern() -> str:
    """What the launcher looks for, as its shell has it."""
    lines = [line for line in LAUNCHER.read_text().splitlines() if line.startswith("osd_wanted=")]
    return subprocess.run(
        ["sh", "-c", "\n".join([*lines, 'printf %s "$osd_wanted"'])], capture_output=True, text=True, check=True
    ).stdout


def is_caught(text: str) -> bool:
    """Whether the launcher's grep finds something in a file of this text."""
    call = ["grep", "-aEqs", pattern()]
    return (
        subprocess.run(call, input=text.encode(), env={"LC_ALL": "C", "PATH": "/usr/bin:/bin"}, check=False).returncode
        == 0
    )


def says_nothing(spec: Any) -> bool:
    """Whether the core leaves this spec alone, and has no word to say of it."""
    try:
        adjustment = adjust(from_spec(spec, "id"), Settings(), Host())
    except Problem:
        return False
    return not adjustment.edits and not adjustment.warnings and not adjustment.verdict.wanted


def unclean(draw: st.DrawFn, path: str) -> str:
    """A path that cleans to the same one."""
    parts = [part for part in path.split("/") if part]
    written = "".join(
        draw(st.sampled_from(["/", "/", "/", "//", "/./", "/x/../", "/../" if not index else "/"])) + part
        for index, part in enumerate(parts)
    )
    return (written if draw(st.booleans()) else written.lstrip("/")) + draw(
        st.sampled_from(["", "", "/", "/.", "//", "/x/.."])
    )


def escaped(draw: st.DrawFn, text: str) -> str:
    """A JSON string of `text`, any letter of it as an escape."""
    letters = []
    for letter in text:
        usual = json.dumps(letter)[1:-1]
        code = f"{ord(letter):04x}"
        ways = [
            usual,
            usual,
            usual,
            usual,
            usual,
            f"\\u{code}",
            f"\\u{code.upper()}",
            *(["\\/"] if letter == "/" else []),
        ]
        letters.append(draw(st.sampled_from(ways)))
    return f'"{"".join(letters)}"'


programs = st.sampled_from([*INITS, "/lib/systemd/systemd", "/usr/lib/systemd/systemd", "/opt/systemd", "systemd"])


@st.composite
def calls(draw: st.DrawFn) -> list[str]:
    """Arguments that start systemd: straight, or as the first word of a shell's script."""
    program = draw(programs)
    program = unclean(draw, program) if "/" in program else program
    if draw(st.booleans()):
        return [program, *draw(st.lists(st.sampled_from(["--x", "", "init"]), max_size=2))]
    quote = draw(st.sampled_from(["", "", "'", '"']))
    before = draw(st.sampled_from(["", " ", "\n", "\t ", "exec ", " exec\t", "exec\n "]))
    after = draw(st.sampled_from(["", " ", "\n", ";", "&&x", "|y", ">z", " --x", ")", "\t"]))
    return [
        draw(st.sampled_from(["sh", "/bin/sh", "/bin/bash", "dash"])),
        "-c",
        f"{before}{quote}{program}{quote}{after}",
    ]


@st.composite
def texts(draw: st.DrawFn) -> str:
    """A config.json that may be wanted, in any layout and with any escapes."""
    asks = draw(
        st.sampled_from(
            [
                "",
                "",
                "io.systemd.container",
                "io.systemd.container/main",
                "io.systemd.container.cgroup",
                "io.systemd.container.tmpfs",
            ]
        )
    )
    args = draw(calls()) if not asks or draw(st.booleans()) else ["/entrypoint"]
    words = f"[{', '.join(escaped(draw, word) for word in args)}]"
    value = draw(st.sampled_from(["true", "rw", "x"]))
    annotations = f", {escaped(draw, 'annotations')}: {{{escaped(draw, asks)}: {escaped(draw, value)}}}" if asks else ""
    linux = '"linux": {"namespaces": [{"type": "pid"}, {"type": "cgroup"}]}'
    text = f'{{"process": {{{escaped(draw, "args")}: {words}}}, {linux}{annotations}}}'
    return draw(st.sampled_from([text, text.replace(", ", ",\n  "), text.replace(": ", ":")]))


@given(texts())
def test_what_may_be_wanted_is_caught(text: str) -> None:
    silent = says_nothing(json.loads(text))
    event("nothing to do" if silent else "something to do")
    assert silent or is_caught(text)


@given(specs(), st.sampled_from([None, 1]))
def test_real_specs_and_their_mutants_are_caught_where_there_is_a_word_to_say(spec: Any, indent: int | None) -> None:
    if not says_nothing(spec):
        assert is_caught(json.dumps(spec, indent=indent))


@st.composite
def commands(draw: st.DrawFn) -> str:
    """A settings file that names more commands, its key written in any way that TOML has."""
    letters = [
        draw(st.sampled_from([letter, letter, letter, f"\\u{ord(letter):04x}", f"\\U{ord(letter):08X}"]))
        for letter in "commands"
    ]
    plain = draw(st.booleans())
    key = draw(st.sampled_from(["commands", "'commands'", '"commands"'])) if plain else f'"{"".join(letters)}"'
    blank = draw(st.sampled_from(["", " ", "\t "]))
    value = '["/init",\n "x"]' if draw(st.booleans()) else '["/init"]'
    forms = [
        f"[detect]\n{blank}{key}{blank}={value}\n",
        f"detect{blank}.{blank}{key}{blank}={blank}{value}\n",
        f"'detect'.{key}={value}\n",
        f"detect={{{blank}{key}{blank}= ['/init']}}\n",
        f"# a comment\n[log]\nfile = '/x#y'\n[ detect ]\n{key} = {value} # more\n",
        f'"detect.{key}" = {value}\n',
    ]
    return draw(st.sampled_from(forms))


@given(commands())
def test_settings_that_name_more_commands_are_caught(text: str) -> None:
    try:
        settings = settings_file.parse(text, "config.toml")
    except Problem:
        assume(False)
        raise
    assert not settings.list("detect.commands") or is_caught(text)


def test_the_pattern_is_the_launchers_own() -> None:
    assert re.search(r"systemd", pattern())
    assert not is_caught('{"process": {"args": ["/bin/sh", "-c", "sleep 1"]}}')
    assert not is_caught('{"process": {"args": ["/init"]}}')
