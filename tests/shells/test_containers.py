"""The containers of a machine, by fake state roots and fake runtimes: found, asked for, and never waited for too long."""

from __future__ import annotations

import json
import os
import shutil
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from oci_systemd.engines.state_roots import KINDS
from oci_systemd.host import containers
from oci_systemd.host.containers import Entry, ask, entries, moved_roots, roots
from tests.shells.runtimes import fake_runtime, put, state

NOBODY = 65534
ROOT = os.geteuid() == 0


@pytest.fixture
def open_folder() -> Iterator[Path]:
    """A folder that everybody may go through, which pytest's own is not."""
    folder = Path(tempfile.mkdtemp())
    folder.chmod(0o755)
    yield folder
    for path in (folder, *folder.rglob("*/")):
        path.chmod(0o755)
    shutil.rmtree(folder)


def as_nobody(ask: Callable[[], object]) -> object:
    """What `ask` gives to a user who is not root."""
    if not ROOT:
        return ask()
    reading, writing = os.pipe()
    if os.fork() == 0:
        try:
            os.setgroups([])
            os.setresgid(NOBODY, NOBODY, NOBODY)
            os.setresuid(NOBODY, NOBODY, NOBODY)
            os.write(writing, json.dumps(ask()).encode())
        finally:
            os._exit(0)
    os.close(writing)
    with open(reading, "rb") as file:
        data = file.read()
    os.wait()
    return json.loads(data)


def folders(base: Path, *paths: str) -> None:
    for path in paths:
        (base / path).mkdir(parents=True)


PATTERNS = {
    "a plain one": ("/run/runc", ["run/runc"]),
    "a star": ("/run/containerd/runc/*", ["run/containerd/runc/default", "run/containerd/runc/k8s.io"]),
    "a star in a name": ("/run/docker/runtime-*/*", ["run/docker/runtime-crun/moby", "run/docker/runtime-runc/moby"]),
    "two stars": ("/run/user/*/docker/runtime-*/*", ["run/user/1000/docker/runtime-runc/moby"]),
    "nothing there": ("/run/crun", []),
    "a star below nothing": ("/nope/*/runc", []),
    "a star below a file": ("/run/file/*", []),
    "a file": ("/run/file", []),
}


@pytest.mark.parametrize(("pattern", "found"), PATTERNS.values(), ids=PATTERNS)
def test_roots_are_found_by(pattern: str, found: list[str], tmp_path: Path) -> None:
    names = ["docker/runtime-runc/moby", "docker/runtime-runc/.cache", "docker/runtime-crun/moby", "docker/other/moby"]
    names += ["runc", "containerd/runc/k8s.io", "containerd/runc/default", "user/1000/docker/runtime-runc/moby"]
    folders(tmp_path / "run", *names)
    (tmp_path / "run/file").touch()
    assert roots([pattern], str(tmp_path)) == ([str(tmp_path / path) for path in found], [])


def test_a_root_that_two_names_lead_to_is_one(tmp_path: Path) -> None:
    folders(tmp_path, "run/docker/runtime-runc/moby")
    (tmp_path / "var").mkdir()
    (tmp_path / "var/run").symlink_to("../run")
    patterns = ["/run/docker/runtime-*/*", "/var/run/docker/runtime-runc/moby"]
    assert roots(patterns, str(tmp_path)).paths == [str(tmp_path / "run/docker/runtime-runc/moby")]


CLOSED = {
    "the root itself, by a star": ("/run/runc/*", "run/runc"),
    "a folder above it": ("/run/user/*/runc", "run/user/1000"),
    "a folder above stars": ("/run/docker/runtime-*/*", "run/docker"),
    "a folder above a plain name": ("/run/user/1000/docker/runtime-*", "run/user/1000"),
}


@pytest.mark.parametrize(("pattern", "closed"), CLOSED.values(), ids=CLOSED)
def test_what_may_not_be_looked_into_is_told_once(pattern: str, closed: str, open_folder: Path) -> None:
    folders(open_folder / "run", "runc/x", "user/1000/runc/a", "docker/runtime-runc/moby")
    (open_folder / closed).chmod(0)
    assert as_nobody(lambda: roots([pattern, pattern], str(open_folder))) in (
        [[], [str(open_folder / closed)]],
        ([], [str(open_folder / closed)]),
    )


def test_a_root_that_may_not_be_read_is_told(open_folder: Path) -> None:
    folders(open_folder, "runc/a")
    (open_folder / "runc").chmod(0)
    found = as_nobody(lambda: entries([str(open_folder / "runc")], KINDS))
    assert found in ([[], [str(open_folder / "runc")]], ([], [str(open_folder / "runc")]))


OPTIONS = {
    "a handler's own root": ('{"binary_name":"/usr/bin/x","root":"/run/elsewhere"}', ["/run/elsewhere/k8s.io"]),
    "none": ('{"binary_name":"/usr/bin/x"}', []),
    "an empty one": ('{"root":""}', []),
    "a relative one": ('{"root":"run/elsewhere"}', []),
    "no string": ('{"root":7}', []),
    "no object": ("[]", []),
    "no JSON": ("{", []),
    "nothing": ("", []),
}


@pytest.mark.parametrize(("text", "found"), OPTIONS.values(), ids=OPTIONS)
def test_a_handlers_options_name(text: str, found: list[str], tmp_path: Path) -> None:
    for id in ("a", "b"):
        folders(tmp_path, f"task/k8s.io/{id}")
        (tmp_path / f"task/k8s.io/{id}/options.json").write_text(text)
    assert moved_roots(["/task/*/*/options.json"], str(tmp_path)) == found


NAMES = {
    "runc's": ("a", "state.json", ["runc"]),
    "crun's": ("a", "status", ["crun"]),
    "every letter of an ID": ("_aZ0+.-9", "state.json", ["runc"]),
    "neither's": ("a", "other", []),
    "a hidden folder": (".cache", "state.json", []),
    "an option": ("-rf", "state.json", []),
    "an escape": ("a\x1b[31m", "state.json", []),
    "a newline": ("a\n", "state.json", []),
    "two words": ("a b", "state.json", []),
    "a letter outside ASCII": ("\u00e4", "state.json", []),
}


@pytest.mark.parametrize(("id", "file", "kinds"), NAMES.values(), ids=NAMES)
def test_a_container_is_known_by(id: str, file: str, kinds: list[str], tmp_path: Path) -> None:
    folders(tmp_path, id)
    (tmp_path / id / file).touch()
    (tmp_path / "stray").touch()
    found, closed = entries([str(tmp_path)], KINDS)
    assert ([(entry.id, entry.kind) for entry in found], closed) == ([(id, kind) for kind in kinds], [])


def test_a_root_that_goes_away_has_no_containers(tmp_path: Path) -> None:
    assert entries([str(tmp_path / "gone")], KINDS) == ([], [])


def asked(folder: Path, **of: str | dict[str, object]) -> tuple[list[containers.State], list[str]]:
    """The states of these containers, and the causes of trouble, asked of a fake."""
    for id, said in of.items():
        put(folder / "root", id, said)
    program = str(fake_runtime(folder / "bin/runc"))
    states, troubles = ask(entries([str(folder / "root")], KINDS)[0], lambda kind: program)
    return states, [f"{trouble.entry.id}: {trouble.cause}" for trouble in troubles]


def test_what_a_runtime_tells(tmp_path: Path) -> None:
    told = state("/b", {"k": "v", "odd": 7}, pid=12, status="paused")
    states, troubles = asked(tmp_path, one=told)
    entry = Entry(str(tmp_path / "root"), "one", "runc", states[0].entry.uid)
    assert (states, troubles) == ([(entry, "paused", 12, "/b", {"k": "v"})], [])


ODD = {
    "no status": {"id": "x"},
    "wrong types": {"status": 1, "pid": "2", "bundle": [], "annotations": "x"},
    "null": {"status": None, "pid": None, "bundle": None, "annotations": None},
    "an impossible PID": {"pid": 1 << 80},
    "a negative one": {"pid": -1},
    "no number": {"pid": True},
}


@pytest.mark.parametrize("value", ODD.values(), ids=ODD)
def test_an_odd_state_is_taken_for_what_it_has(value: dict[str, object], tmp_path: Path) -> None:
    states, troubles = asked(tmp_path, one=value)
    assert troubles == []
    assert states[0][1:] in [("unknown", 0, "", {}), ("unknown", 1, "", {})]


TROUBLES = {
    "an error": (
        'echo \'time="2025-01-01T00:00:00Z" level=error msg="no such"\' >&2; exit 1',
        'state failed: level=error msg="no such"',
    ),
    "two lines of it": ("echo first >&2; echo second >&2; exit 1", "state failed: second"),
    "no word": ("exit 3", "state failed: exit status 3"),
    "escapes": ("printf '\\033[31mred' >&2; exit 1", "state failed: \\x1b[31mred"),
    "no JSON": ("echo {", "runc state: invalid JSON"),
    "no object": ("echo []", "runc state: not a JSON object"),
    "a signal": ("kill -9 $$", "state failed: exit status -9"),
}


@pytest.mark.parametrize(("script", "cause"), TROUBLES.values(), ids=TROUBLES)
def test_the_trouble_with_one_is_told_and_the_others_too(script: str, cause: str, tmp_path: Path) -> None:
    states, troubles = asked(tmp_path, good=state("/b"), bad=script, other=state("/c"))
    assert [found.bundle for found in states] == ["/b", "/c"]
    assert len(troubles) == 1
    assert cause in troubles[0]


@pytest.mark.parametrize("script", ["sleep 30", "yes", "sleep 30 & exit 0", "exec >&- 2>&-; sleep 30"])
def test_a_runtime_that_hangs_is_not_waited_for(script: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(containers, "TIMEOUT", 1.0)
    monkeypatch.setattr(containers, "LIMIT", 1 << 20)
    started = time.monotonic()
    states, troubles = asked(tmp_path, good=state("/b"), bad=script)
    assert time.monotonic() - started < 15
    assert len(states) == 1
    assert "state: timed out after " in troubles[0]


def test_after_a_time_no_more_is_asked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(containers, "ALTOGETHER", -1.0)
    states, troubles = asked(tmp_path, one=state("/b"), two=state("/b"))
    assert states == []
    assert [("timed out after" in trouble) for trouble in troubles] == [True, True]


def test_a_missing_runtime_is_trouble(tmp_path: Path) -> None:
    put(tmp_path, "one", state("/b"), kind="crun")
    found = entries([str(tmp_path)], KINDS)[0]
    assert [trouble.cause for trouble in ask(found, lambda kind: "")[1]] == ["crun: not found"]
    assert "cannot start" in ask(found, lambda kind: str(tmp_path / "gone"))[1][0].cause


def test_a_container_that_went_meanwhile_is_no_trouble(tmp_path: Path) -> None:
    assert asked(tmp_path, one='rm -r "$2/$4"; exit 1', two=state("/b"))[1] == []


def test_the_runtime_is_started_with_nothing_of_ours(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SECRET", "x")
    _, troubles = asked(tmp_path, one='read line || echo "$(env | grep -c SECRET) $(pwd) $*" >&2; exit 1')
    assert troubles[0].endswith(f"state failed: 0 / --root {tmp_path}/root state one")


@pytest.mark.skipif(not ROOT, reason="becomes another user")
def test_root_asks_for_a_users_state_with_that_users_rights(open_folder: Path) -> None:
    put(open_folder / "user/1000/runc", "own", 'echo "$(id -u) $(id -g) $(id -G)" >&2; exit 1')
    put(open_folder / "user/1000/crun/below", "roots", 'echo "$(id -u)" >&2; exit 1')
    for path in ("user/1000", "user/1000/runc"):
        os.chown(open_folder / path, 1000, 0)
    fake_runtime(open_folder / "bin/runc")
    paths = [str(open_folder / "user/1000" / path) for path in ("runc", "crun/below")]
    _, troubles = ask(entries(paths, KINDS)[0], lambda kind: str(open_folder / "bin/runc"))
    assert [trouble.cause.rpartition(": ")[2] for trouble in troubles] == ["1000 65534 65534", "1000"]
    assert {trouble.entry.uid for trouble in troubles} == {1000}


@pytest.mark.skipif(not ROOT, reason="becomes another user")
def test_nobody_but_root_asks_in_anothers_name(open_folder: Path) -> None:
    put(open_folder / "runc", "own", state("/b"))
    os.chown(open_folder / "runc", 1000, 0)
    fake_runtime(open_folder / "bin/runc")

    def causes() -> list[str]:
        found = entries([str(open_folder / "runc")], KINDS)[0]
        return [trouble.cause for trouble in ask(found, lambda kind: str(open_folder / "bin/runc"))[1]]

    assert as_nobody(causes) == ["the state belongs to user 1000; only root can read it"]
