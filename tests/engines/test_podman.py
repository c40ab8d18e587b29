"""Our runtime in a drop-in of podman. A drop-in replaces whole lists, so ours repeat the entries in effect before."""

from __future__ import annotations

import tomllib
from typing import Any

import pytest

from oci_systemd.core.errors import Problem
from oci_systemd.engines.podman import DEFAULTS, DROP_IN, VENDOR, base_runtime, merged, wrapped
from tests.engines.build import LAUNCHER, Node, check_cycle, text

MAIN = "/etc/containers/containers.conf"
FOLDER = f"{MAIN}.d"
OURS = f"{FOLDER}/{DROP_IN}"
HOOKS = "/usr/share/oci-systemd/hooks.d"
DEBIAN = {VENDOR: text("containers.conf"), "/usr/bin/crun": "", "/usr/sbin/runc": ""}
JSON, NOCGROUP, DIRS = (DEFAULTS[name] for name in ("runtime_supports_json", "runtime_supports_nocgroup", "hooks_dir"))


def engine(files: dict[str, str]) -> dict[str, Any]:
    found = tomllib.loads(files[OURS])["engine"]
    assert isinstance(found, dict)
    return found


CASES: dict[str, tuple[dict[str, str], dict[str, Any], dict[str, Any]]] = {
    "crun": (
        DEBIAN,
        {"runtime": "/usr/bin/crun"},
        {"runtime_supports_json": [*JSON, "systemd"], "runtime_supports_nocgroup": [*NOCGROUP, "systemd"]},
    ),
    "runc": (DEBIAN, {}, {"runtime_supports_json": [*JSON, "systemd"]}),
    "a runtime that is in no list": (DEBIAN, {"runtime": "/opt/mine"}, {}),
    "hooks": (
        DEBIAN,
        {"hooks": HOOKS},
        {"runtime_supports_json": [*JSON, "systemd"], "hooks_dir": [*DIRS, HOOKS]},
    ),
    "by default": (DEBIAN, {"default": True, "runtime": "/opt/mine"}, {"runtime": "systemd"}),
    "lists that others have set": (
        {
            **DEBIAN,
            MAIN: '[engine]\nruntime_supports_json = ["runc"]\nhooks_dir = ["/a", {append=true}]\n',
            f"{FOLDER}/10.conf": '[engine]\nhooks_dir = ["/b"]\nruntime_supports_nocgroup = []\n',
            f"{FOLDER}/10.txt": "not read",
        },
        {"hooks": HOOKS},
        {"runtime_supports_json": ["runc", "systemd"], "hooks_dir": ["/b", HOOKS]},
    ),
    "a list that appends": (
        {**DEBIAN, MAIN: '[engine]\nhooks_dir = ["/a", {append=true}]\n'},
        {"hooks": HOOKS, "runtime": "/opt/mine"},
        {"hooks_dir": ["/a", {"append": True}, HOOKS]},
    ),
    "nothing": ({}, {"runtime": "/opt/mine"}, {}),
    "a string in place of a table or list": (
        {MAIN: '[engine]\nruntimes = 1\nhooks_dir = "x"\nruntime_supports_json = 1\n', f"{FOLDER}/a.conf": "engine = 1"},
        {"hooks": HOOKS},
        {"runtime_supports_json": [*JSON, "systemd"], "hooks_dir": [*DIRS, HOOKS]},
    ),
}  # fmt: skip


@pytest.mark.parametrize(("files", "wanted", "more"), CASES.values(), ids=CASES)
def test_runtime_is_added_with_the_lists_that_it_belongs_into(
    files: dict[str, str], wanted: dict[str, Any], more: dict[str, Any]
) -> None:
    done = check_cycle(Node("podman", files), **wanted)
    assert {path for path in done.others if path not in files} == {OURS}
    assert engine(done.files) == {"runtimes": {"systemd": [LAUNCHER]}, **more}
    assert wrapped(done, MAIN) == {"systemd": LAUNCHER}


def test_what_is_wanted_no_longer_goes() -> None:
    node = Node("podman", DEBIAN)
    node.install(default=True, hooks=HOOKS)
    node.install()
    assert engine(node.files) == {"runtimes": {"systemd": [LAUNCHER]}, "runtime_supports_json": [*JSON, "systemd"]}
    node.uninstall()
    assert node.files == DEBIAN


BASES: dict[str, tuple[dict[str, str], str]] = {
    "crun comes first": (DEBIAN, "crun"),
    "runc alone": ({"/usr/sbin/runc": ""}, "runc"),
    "neither": ({}, ""),
    "by name": ({**DEBIAN, MAIN: '[engine]\nruntime = "runc"\n'}, "runc"),
    "by a path that is there": (
        {**DEBIAN, MAIN: '[engine]\nruntime = "x"\n[engine.runtimes]\nx = ["/nowhere", "/usr/sbin/runc"]\n'},
        "/usr/sbin/runc",
    ),
    "a path for the first": ({**DEBIAN, MAIN: '[engine.runtimes]\ncrun = ["/usr/bin/crun"]\n'}, "/usr/bin/crun"),
}


@pytest.mark.parametrize(("files", "program"), BASES.values(), ids=BASES)
def test_the_machines_own_runtime(files: dict[str, str], program: str) -> None:
    assert base_runtime(Node("podman", files), MAIN) == program


REFUSED: dict[str, tuple[str, dict[str, str], dict[str, Any], str]] = {
    "a runtime of that name": (
        "x",
        {MAIN: '[engine.runtimes]\nx = ["/y"]\n'},
        {},
        "runtime 'x': already exists",
    ),
    "a default that is read later": (
        "x",
        {f"{FOLDER}/99.conf": '[engine]\nruntime = "runc"\n'},
        {"default": True},
        "99.conf: sets runtime, and is read after",
    ),
    "hooks that are read later": (
        "x",
        {f"{FOLDER}/99.conf": "[engine]\nhooks_dir = []\n"},
        {"hooks": HOOKS},
        "99.conf: sets hooks_dir, and is read after",
    ),
    "no TOML": ("x", {VENDOR: "x"}, {}, f"{VENDOR}: invalid TOML"),
}


@pytest.mark.parametrize(("handler", "files", "wanted", "said"), REFUSED.values(), ids=REFUSED)
def test_what_cannot_be_added_is_told(handler: str, files: dict[str, str], wanted: dict[str, Any], said: str) -> None:
    node = Node("podman", files)
    with pytest.raises(Problem, match=said):
        node.install(handler, **wanted)
    assert node.files == files


def test_two_runtimes_share_the_hooks() -> None:
    node = Node("podman", DEBIAN)
    node.install("a", hooks=HOOKS)
    node.install("b", hooks=HOOKS)
    assert merged(node, MAIN)["hooks_dir"] == [*DIRS, HOOKS]
    node.uninstall("a")
    assert merged(node, MAIN)["hooks_dir"] == [*DIRS, HOOKS]
    node.uninstall("b")
    assert node.files == DEBIAN
