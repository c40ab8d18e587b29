"""The runtime's command line, as engines and people write it."""

from __future__ import annotations

import pytest

from oci_systemd.core.argv import parse
from tests.core.build import resent

SHIM = "--root /run/containerd/runc/k8s.io --log /b/log.json --log-format json --systemd-cgroup"
# words, then (command, id, bundle, config, log, log format)
CALLS = {
    "containerd": (
        f"{SHIM} create --bundle /b --pid-file /b/init.pid ID",
        ("create", "ID", "/b", "config.json", "/b/log.json", "json"),
    ),
    "conmon": ("--root=/r create --bundle /b --pid-file /p ID", ("create", "ID", "/b", "config.json", "", "text")),
    "run": ("run -d --bundle=/b ID", ("run", "ID", "/b", "config.json", "", "text")),
    "short": ("create -b /b ID", ("create", "ID", "/b", "config.json", "", "text")),
    "short with equals": ("create -b=/b ID", ("create", "ID", "/b", "config.json", "", "text")),
    "glued": ("create -b/b ID", ("create", "ID", "/b", "config.json", "", "text")),
    "single dash": ("-root /r create -bundle /b ID", ("create", "ID", "/b", "config.json", "", "text")),
    "single dash with equals": ("create -bundle=/b ID", ("create", "ID", "/b", "config.json", "", "text")),
    "after the ID": ("create ID --bundle /b", ("create", "ID", "/b", "config.json", "", "text")),
    "last wins": ("create --bundle /a -b /b ID", ("create", "ID", "/b", "config.json", "", "text")),
    "working directory": ("create ID", ("create", "ID", ".", "config.json", "", "text")),
    "empty bundle": ("create --bundle= ID", ("create", "ID", ".", "config.json", "", "text")),
    "crun's config": ("create -f other.json --bundle /b ID", ("create", "ID", "/b", "other.json", "", "text")),
    "crun's usual config": (
        "create --config config.json --bundle /b ID",
        ("create", "ID", "/b", "config.json", "", "text"),
    ),
    "crun's log": ("--log=file:/l create ID", ("create", "ID", ".", "config.json", "/l", "text")),
    "crun's journal": ("--log=journald:x create ID", ("create", "ID", ".", "config.json", "", "text")),
    "value is a command": (
        "--root create --log kill run -b run ID",
        ("run", "ID", "run", "config.json", "kill", "text"),
    ),
    "double dash": ("create --bundle /b -- -ID", ("create", "-ID", "/b", "config.json", "", "text")),
    "value missing": ("create --bundle", ("create", "", ".", "config.json", "", "text")),
    "preserve-fds": ("create --preserve-fds 3 ID", ("create", "ID", ".", "config.json", "", "text")),
    "unknown option": ("--new=1 create --fast ID", ("create", "ID", ".", "config.json", "", "text")),
}


@pytest.mark.parametrize(("line", "expected"), CALLS.values(), ids=CALLS)
def test_create_and_run(line: str, expected: tuple[str, ...]) -> None:
    call = parse(line.split())
    assert call is not None
    path = f"{expected[2]}/config.json" if expected[3] == "config.json" else expected[3]
    assert (call.command, call.id, call.bundle, call.config) == (*expected[:3], path)
    assert (call.log, call.log_format) == expected[4:]


@pytest.mark.parametrize(
    "line",
    [
        "", "state ID", "exec ID create", "--root create state ID", "start kill", "--help", "create --help", "run -h", "kill -h ID",
        "--version create", "-v", "features", "--root", "exec --process /create ID", "restore --bundle /b ID", "-- ",
    ],
)  # fmt: skip
def test_call_that_is_not_ours(line: str) -> None:
    assert parse(line.split()) is None


@pytest.mark.parametrize(
    ("globals", "own"), [("", True), ("--cgroup-manager=disabled", False), ("--cgroup-manager cgroupfs", True)]
)
def test_runtime_may_be_told_to_make_no_cgroup(globals: str, own: bool) -> None:
    call = parse([*globals.split(), "create", "ID"])
    assert call is not None
    assert call.own_cgroup is own


KILLS = {
    "kill ID 15": (("15",), ["kill", "ID", "37"]),
    "kill ID": ((), ["kill", "ID", "37"]),
    "kill TERM TERM": (("TERM",), ["kill", "TERM", "37"]),
    "kill kill": ((), ["kill", "kill", "37"]),
    "kill -- ID TERM": (("TERM",), ["kill", "--", "ID", "37"]),
    "kill ID TERM --new": (("TERM",), ["kill", "ID", "37", "--new"]),
    "--root /r --log l kill ID TERM": (("TERM",), ["--root", "/r", "--log", "l", "kill", "ID", "37"]),
    "kill --all ID 15": (("15",), ["kill", "--all", "ID", "37"]),
}


@pytest.mark.parametrize(("line", "signal", "words"), [(line, *row) for line, row in KILLS.items()], ids=KILLS)
def test_kill(line: str, signal: tuple[str, ...], words: list[str]) -> None:
    call = parse(line.split())
    assert call is not None
    assert (call.command, tuple(call.words[1:]), resent(line.split(), call)) == ("kill", signal, words)
    assert call.has("all", "a", "regex", "r") is ("--all" in line)


def test_state_call_shares_what_finds_the_container_and_nothing_that_writes() -> None:
    call = parse(
        "--debug --root /r --log /l --log-format=json --systemd-cgroup --criu /c --rootless=true kill ID".split()
    )
    assert call is not None
    assert call.state_call() == ["--root", "/r", "--systemd-cgroup", "--criu", "/c", "--rootless=true", "state", "ID"]
