"""Arguments added to systemd's own: the journal on the console, and variables for services."""

from __future__ import annotations

from typing import Any

import pytest

from oci_systemd.core import annotations as a
from oci_systemd.core.adjust import Adjustment
from oci_systemd.core.apply import apply
from oci_systemd.core.arguments import MOST, MOST_VARIABLES
from oci_systemd.core.command_line import LONGEST, SETENV
from oci_systemd.core.edits import AppendArguments
from oci_systemd.core.settings import Settings
from tests.core.build import adjusted, annotated, container, env_set, of_kind, refused, warned

JOURNAL = annotated(console="journal")
SERVICES = annotated(environment="services")
CONSOLE = ["systemd.journald.forward_to_console=1", "systemd.show_status=0", "systemd.getty_auto=0"]


def appended(adjustment: Adjustment) -> list[str]:
    return [each for edit in of_kind(adjustment, AppendArguments) for each in edit.arguments]


def carried(*env: str, asked: str = "services", **changes: Any) -> tuple[list[str], Adjustment]:
    """The arguments that are appended for variables, and the adjustment."""
    adjustment = adjusted(container(env=env, annotations=annotated(environment=asked), **changes))
    return appended(adjustment), adjustment


def test_the_journal_is_forwarded_to_the_console() -> None:
    adjustment = adjusted(container(annotations=JOURNAL, terminal=True, env=("TERM=xterm",)))
    assert appended(adjustment) == CONSOLE
    assert env_set(adjustment)["TERM"] == "dumb"
    assert adjustment.warnings == []


TERMS = {
    "none": ((), "dumb"),
    "the engine's": (("TERM=xterm",), "dumb"),
    "the last one counts": (("TERM=vt100", "TERM=xterm"), "dumb"),
    "the container's own": (("TERM=vt100",), None),
    "dumb already": (("TERM=dumb",), None),
}


@pytest.mark.parametrize(("env", "value"), TERMS.values(), ids=TERMS)
def test_only_an_engines_terminal_becomes_a_dumb_one(env: tuple[str, ...], value: str | None) -> None:
    assert env_set(adjusted(container(annotations=JOURNAL, terminal=True, env=env))).get("TERM") == value


@pytest.mark.parametrize(("terminal", "reported"), [(True, False), (None, False), (False, True)])
def test_a_console_without_a_terminal_is_reported_with_what_to_add(terminal: bool | None, reported: bool) -> None:
    adjustment = adjusted(container(annotations=JOURNAL, terminal=terminal, env=("TERM=xterm",)))
    assert warned(adjustment, "add tty: true") is reported
    assert appended(adjustment) == CONSOLE
    assert ("TERM" in env_set(adjustment)) is not reported


@pytest.mark.parametrize("argument", [*CONSOLE, "systemd.journald.forward_to_console=no", "systemd.show_status"])
def test_an_argument_of_the_containers_own_stays(argument: str) -> None:
    found = appended(adjusted(container(annotations=JOURNAL, args=("/sbin/init", argument))))
    assert found == [each for each in CONSOLE if each.partition("=")[0] != argument.partition("=")[0]]


COMMANDS = {
    "an init": (("/sbin/init",), {}, True),
    "systemd": (("/lib/systemd/systemd", "--system"), {}, True),
    "a bare word": (("systemd",), {}, True),
    "listed": (("/opt/start", "x"), {"detect.commands": ["/opt/start"]}, True),
    "a shell": (("/bin/sh", "-c", "exec /sbin/init"), {}, False),
    "a shell that is listed": (("sh", "-c", "exec /sbin/init"), {"detect.commands": ["sh"]}, False),
    "an entrypoint": (("/entrypoint.sh",), {}, False),
    "none": ((), {}, False),
}


@pytest.mark.parametrize(("args", "settings", "served"), COMMANDS.values(), ids=COMMANDS)
def test_arguments_are_appended_to_systemds_own_alone(
    args: tuple[str, ...], settings: dict[str, Any], served: bool
) -> None:
    annotations = {**annotated(wanted="true"), **JOURNAL, **SERVICES}
    adjustment = adjusted(container(args=args, annotations=annotations, env=("A=b",)), Settings(settings))
    assert appended(adjustment) == ([*CONSOLE, f"{SETENV}A=b"] if served else [])
    for key in (a.CONSOLE, a.ENVIRONMENT):
        assert warned(adjustment, f"annotation {key} has no effect") is not served


def test_arguments_of_a_container_that_is_not_wanted_stay() -> None:
    adjustment = adjusted(container(args=("/bin/sh",), annotations={**JOURNAL, **SERVICES}, env=("A=b",)))
    assert (adjustment.edits, adjustment.warnings) == ([], [])


def test_nothing_is_appended_behind_an_open_quote() -> None:
    found, adjustment = carried("A=b", args=("/sbin/init", 'x="'))
    assert found == [] and warned(adjustment, "unclosed quote")


VALUES = {
    "plain": ("A=1", [f"{SETENV}A=1"]),
    "empty": ("A=", [f"{SETENV}A="]),
    "with an equals sign": ("A=b=c", [f"{SETENV}A=b=c"]),
    "backslash, dollar, percent": (r"A=\n$B%n", [rf"{SETENV}A=\n$B%n"]),
    "UTF-8": ("A=ä€😀", [f"{SETENV}A=ä€😀"]),
    "a blank": ("A=b c", ['"', f"{SETENV}A=b c", '"', f'"{SETENV}A=b c"']),
    "a newline": ("A=b\nc", ['"', f"{SETENV}A=b\nc", '"', f'"{SETENV}A=b\nc"']),
    "a single quote": ("A='", ['"', f"{SETENV}A='", '"', f'"{SETENV}A=\'"']),
    "JSON": ('A={"b": 1}', ["'", f'{SETENV}A={{"b": 1}}', "'", f"'{SETENV}A={{\"b\": 1}}'"]),
    "the last of a name": ("A=2", [f"{SETENV}A=2"]),
}


@pytest.mark.parametrize(("entry", "expected"), VALUES.values(), ids=VALUES)
def test_a_variable_becomes_arguments(entry: str, expected: list[str]) -> None:
    found, adjustment = carried("A=first", entry)
    assert (found, adjustment.warnings) == (expected, [])


LEFT_OUT = {
    "both kinds of quotes": ("A=s3cret'\"", "both kinds of quotes"),
    "an escape": ("A=s3cret\x1b[1m", "control characters"),
    "a carriage return": ("A=s3cret\r\n", "control characters"),
    "DEL": ("A=s3cret\x7f", "control characters"),
    "C1": ("A=s3cret\x85", "control characters"),
    "NUL": ("A=s3cret\0", "control characters"),
    "half a surrogate pair": ("A=s3cret\ud800", "control characters"),
    "no character": ("A=s3cret\ufffe", "control characters"),
    "a name with a dot": ("A.B=s3cret", "letters, digits and _"),
    "a name with a digit first": ("1A=s3cret", "letters, digits and _"),
    "no name": ("=s3cret", "letters, digits and _"),
    "too long": ("A=s3cret" + "x" * LONGEST, "at most 128 KiB"),
    "too long by what stands before it": ("A=s3cret" + "x" * (LONGEST - 20), "at most 128 KiB"),
}


@pytest.mark.parametrize(("entry", "words"), LEFT_OUT.values(), ids=LEFT_OUT)
def test_what_cannot_be_carried_is_reported_by_its_name_alone(entry: str, words: str) -> None:
    found, adjustment = carried(entry, "B=1")
    assert found == [f"{SETENV}B=1"]
    assert warned(adjustment, words) and warned(adjustment, f"variable {a.quoted(entry.partition('=')[0])}")
    assert "s3cret" not in "".join(adjustment.warnings)


def test_the_longest_argument_is_carried() -> None:
    value = "x" * (LONGEST - len(f"{SETENV}A="))
    assert carried(f"A={value}")[0] == [f"{SETENV}A={value}"]
    assert carried(f"A={value}x")[0] == []


def test_arguments_and_environment_stay_below_what_execve_takes() -> None:
    env = [f"V{number}=" + "x" * 100_000 for number in range(8)]
    found, adjustment = carried(*env)
    assert 0 < len(found) < 8 and warned(adjustment, "and 1 MiB for all arguments and variables")
    assert sum(map(len, [*found, *env])) < MOST


def test_variables_without_measure_are_left_out() -> None:
    found, adjustment = carried(*(f"V{number}=" for number in range(MOST_VARIABLES + 1)))
    assert found == [] and warned(adjustment, f"more than {MOST_VARIABLES}")


NEVER = """PATH=/bin HOME=/ TERM=x HOSTNAME=h container=oci container_uuid=1 CREDENTIALS_DIRECTORY=/x NOTIFY_SOCKET=/n
LISTEN_FDS=1 LISTEN_PID=1""".split()


def test_what_is_pid_1s_own_never_reaches_services() -> None:
    assert carried(*NEVER)[0] == []
    found, adjustment = carried(*NEVER, asked=",".join(entry.partition("=")[0] for entry in NEVER))
    assert found == []
    assert sum("it is reserved for PID 1" in each for each in adjustment.warnings) == len(NEVER)


PATTERNS = {
    "services": ("services", "A AB B ABC"),
    "one": ("A", "A"),
    "several, with blanks": (" A , B ", "A B"),
    "a beginning": ("A*", "A AB ABC"),
    "an end": ("*B", "AB B"),
    "both": ("A*C", "ABC"),
    "within": ("*B*", "AB B ABC"),
    "no overlap": ("AB*BC", ""),
    "several stars": ("*A*B*", "AB ABC"),
    "all": ("*", "A AB B ABC"),
}


@pytest.mark.parametrize(("asked", "names"), PATTERNS.values(), ids=PATTERNS)
def test_variables_are_named_by_patterns(asked: str, names: str) -> None:
    found, adjustment = carried("A=1", "AB=1", "B=1", "ABC=1", "no variable", asked=asked)
    assert found == [f"{SETENV}{name}=1" for name in names.split()]
    assert adjustment.warnings == []


def test_a_name_that_stands_for_no_variable_is_reported() -> None:
    assert warned(
        carried("A=1", asked="A, LOST")[1], "variable LOST does not reach the services: the container does not have it"
    )
    assert carried("A=1", asked="A, LOST*")[1].warnings == []


@pytest.mark.parametrize("value", ["", "a b", "A,", "A=b", ",".join(["A"] * 65), "A" * 257, "ä"])
def test_a_wrong_pattern_is_refused(value: str) -> None:
    assert "variable names" in refused(container(annotations=annotated(environment=value)))


THERE = {
    "the same": ("systemd.setenv=A=1", []),
    "another value": ("systemd.setenv=A=2", [f"{SETENV}A=1"]),
    "another variable": ("systemd.setenv=AA=1", [f"{SETENV}A=1"]),
    "one that systemd 252 reads otherwise": ("systemd.setenv=A=1'", [f"{SETENV}A=1"]),
}


@pytest.mark.parametrize(("argument", "expected"), THERE.values(), ids=THERE)
def test_a_variable_that_is_there_so_is_left_alone(argument: str, expected: list[str]) -> None:
    args = ("/sbin/init", argument, *(["x'"] if "'" in argument else []))
    assert carried("A=1", args=args)[0] == expected


def test_no_edit_tells_a_value() -> None:
    adjustment = carried("A=s3cret", "B=s3cret and more")[1]
    assert [str(edit) for edit in of_kind(adjustment, AppendArguments)] == [
        f"argument {SETENV}A=…",
        f"argument {SETENV}B=…",
    ]
    assert "s3cret" not in "".join(f"{edit} {edit.reason}" for edit in adjustment.edits)


def test_arguments_come_behind_the_containers_own() -> None:
    adjustment = adjusted(container(annotations=SERVICES, args=("/sbin/init", "--x"), env=("A=1",)))
    spec: dict[str, Any] = {"process": {"args": ["/sbin/init", "--x"]}}
    edits = of_kind(adjustment, AppendArguments)
    assert apply(spec, edits) == {"process": {"args": ["/sbin/init", "--x", f"{SETENV}A=1"]}}
    assert spec == {"process": {"args": ["/sbin/init", "--x"]}}
