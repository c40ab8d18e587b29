"""Our handler in a drop-in of CRI-O, made after the node's default one."""

from __future__ import annotations

import tomllib
from typing import Any

import pytest

from oci_systemd.core.errors import Problem
from oci_systemd.engines.crio import DROP_IN, base_runtime, merged, wrapped
from tests.engines.build import LAUNCHER, RUNC, Node, check_cycle, text

MAIN = "/etc/crio/crio.conf"
FOLDER = f"{MAIN}.d"
OURS = f"{FOLDER}/{DROP_IN}"
PACKAGED = {f"{FOLDER}/10-crio.conf": text("10-crio.conf")}
CONMON = "/usr/libexec/crio/conmon"


def table(node: Node, handler: str = "systemd") -> dict[str, Any]:
    found = tomllib.loads(node.files[OURS])["crio"]["runtime"]["runtimes"][handler]
    assert isinstance(found, dict)
    return found


CASES: dict[str, tuple[dict[str, str], dict[str, Any]]] = {
    "as packaged": (
        PACKAGED,
        {
            "runtime_root": "/run/crun",
            "monitor_path": CONMON,
            "allowed_annotations": ["io.containers.trace-syscall"],
        },
    ),
    "runc by default": (
        {**PACKAGED, f"{FOLDER}/20-own.conf": '[crio.runtime]\ndefault_runtime = "runc"\n'},
        {"runtime_root": "/run/runc", "monitor_path": CONMON},
    ),
    "a later table replaces an earlier": (
        {**PACKAGED, f"{FOLDER}/20-own.conf": '[crio.runtime.runtimes.crun]\nruntime_path = "/opt/crun"\n'},
        {"runtime_root": "/run/runc"},
    ),
    "conmon-rs": (
        {f"{FOLDER}/10-crio.conf": text("10-crio.conf").replace("monitor_path", 'runtime_type = "pod"\nmonitor_path')},
        {
            "runtime_type": "pod",
            "runtime_root": "/run/crun",
            "monitor_path": CONMON,
            "allowed_annotations": ["io.containers.trace-syscall"],
        },
    ),
    "nothing": ({}, {"runtime_root": "/run/runc"}),
    "a main file alone": (
        {MAIN: '[crio.runtime]\ndefault_runtime = "runc"\n[crio.runtime.runtimes.runc]\nruntime_path = ""\n'
            'monitor_env = ["A=b"]\nno_sync_log = false\n'},
        {"runtime_root": "/run/runc", "monitor_env": ["A=b"]},
    ),
    "a default that starts virtual machines": (
        {**PACKAGED, f"{FOLDER}/k": '[crio.runtime]\ndefault_runtime = "k"\n[crio.runtime.runtimes.k]\nruntime_type = "vm"\n'},
        {"runtime_root": "/run/crun", "monitor_path": CONMON, "allowed_annotations": ["io.containers.trace-syscall"]},
    ),
    "a folder in the folder, and any name": (
        {**PACKAGED, f"{FOLDER}/sub/x~": '[crio.runtime]\ndefault_runtime = "runc"\n'},
        {"runtime_root": "/run/runc", "monitor_path": CONMON},
    ),
    "a string in place of a table": (
        {MAIN: '[crio.runtime]\ndefault_runtime = "runc"\n[crio.runtime.runtimes]\nrunc = "x"\n', f"{FOLDER}/a": "crio = 1"},
        {"runtime_root": "/run/runc"},
    ),
}  # fmt: skip


@pytest.mark.parametrize(("files", "more"), CASES.values(), ids=CASES)
def test_handler_is_what_the_default_one_is(files: dict[str, str], more: dict[str, Any]) -> None:
    done = check_cycle(Node("crio", files))
    assert {path for path in done.others if path not in files} == {OURS}
    assert table(done) == {"runtime_path": LAUNCHER, "runtime_type": "oci", **more}
    assert wrapped(done, MAIN) == {"systemd": LAUNCHER}


@pytest.mark.parametrize("files", [{}, PACKAGED], ids=["nothing", "as packaged"])
def test_default_is_set_and_given_up(files: dict[str, str]) -> None:
    node = Node("crio", files)
    assert merged(check_cycle(node, default=True), MAIN)["default_runtime"] == "systemd"
    node.install(default=True)
    node.install()
    assert merged(node, MAIN).get("default_runtime") == ("crun" if files else None)
    assert node.uninstall().kept == []
    assert node.files == files


def test_default_in_a_file_that_is_read_later_is_told() -> None:
    late = f"{FOLDER}/99-own.conf"
    node = Node("crio", {**PACKAGED, late: '[crio.runtime]\ndefault_runtime = "runc"\n'})
    check_cycle(node)
    with pytest.raises(Problem, match=f"{late}: sets the default runtime to 'runc'"):
        node.install(default=True)


REFUSED = {
    "a handler of that name": ("crun", PACKAGED, "handler 'crun': already exists"),
    "no TOML": ("systemd", {f"{FOLDER}/x": "x"}, f"{FOLDER}/x: invalid TOML"),
    "our file is somebody's word": ("systemd", {OURS: "crio = 1"}, "'crio' is not a table"),
}


@pytest.mark.parametrize(("handler", "files", "said"), REFUSED.values(), ids=REFUSED)
def test_what_cannot_be_added_is_told(handler: str, files: dict[str, str], said: str) -> None:
    node = Node("crio", files)
    with pytest.raises(Problem, match=said):
        node.install(handler)
    assert node.files == files


BASES = {
    "as packaged": (PACKAGED, "/usr/libexec/crio/crun"),
    "by its name": (
        {MAIN: '[crio.runtime]\ndefault_runtime = "runc"\n[crio.runtime.runtimes.runc]\nruntime_path = ""\n'},
        "runc",
    ),
    "runc as well": ({MAIN: '[crio.runtime.runtimes.runc]\nruntime_path = ""\n'}, "crun"),
    "nothing said": ({}, "crun"),
}


@pytest.mark.parametrize(("files", "program"), BASES.values(), ids=BASES)
def test_the_nodes_own_runtime(files: dict[str, str], program: str) -> None:
    assert base_runtime(Node("crio", files), MAIN) == program


@pytest.mark.parametrize(("version", "program"), [("1.30.4", "runc"), ("1.31.0", "crun"), ("1.37.0", "crun")])
def test_the_runtime_that_crio_brings_changed_with_1_31(version: str, program: str) -> None:
    assert base_runtime(Node("crio", {}), MAIN, version) == program


def test_handler_follows_what_is_changed_about_the_default_one() -> None:
    node = Node("crio", PACKAGED)
    node.install()
    node.edit(
        "[crio.runtime.runtimes.crun]\n", "[crio.runtime.runtimes.crun]\nno_sync_log = true\n", f"{FOLDER}/10-crio.conf"
    )
    node.install()
    assert table(node)["no_sync_log"] is True
    node.edit("no_sync_log = true\n", "", f"{FOLDER}/10-crio.conf")
    node.install()
    assert "no_sync_log" not in table(node)
    node.uninstall()
    assert node.files == PACKAGED


def test_our_file_may_be_somebody_s_as_well() -> None:
    files = {OURS: '# mine\n[crio.runtime]\nlog_level = "debug"'}
    check_cycle(Node("crio", files), default=True)


def test_root_of_the_state_is_the_real_runtime_s() -> None:
    node = Node("crio", {})
    node.install(runtime="/opt/bin/crun")
    assert table(node)["runtime_root"] == "/run/crun"
    assert RUNC not in str(table(node))
