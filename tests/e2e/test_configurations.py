"""Configurations that people really have, in front of the engines themselves: containerd 1.7 and 2.1, and dockerd.

`install` asks the engine before it writes. Here the engine is asked again, about the written files, without our code. The cases
are those of `tests/engines/real.py`.
"""

from __future__ import annotations

import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.lab.node import Node
from tests.e2e.lab.rootfs import NODES, LabError
from tests.engines.real import CASES, NEW, NVIDIA, OLD, Case, files, main_of

VERSIONS = {"runc-1.1": OLD, "runc-1.3": NEW}
RUNS = [
    (node, name)
    for name, case in CASES.items()
    for node, version in VERSIONS.items()
    if version in case.versions or (case.engine == "docker" and node == "runc-1.1")
]
# Where a case puts something, and install as well.
FOLDERS = (
    "etc/containerd",
    "etc/docker",
    "etc/cri",
    "etc/k0s",
    "etc/oci-systemd",
    "opt/kata",
    "var/lib/rancher",
    "var/snap",
    "run/k0s",
)
# Programs that the cases name, and the engine by the name that a distribution gives it.
NAMED = (NVIDIA, "/usr/bin/gpu-runtime", "/usr/bin/shimpei")
BROUGHT = ("/var/lib/rancher/k3s/data/current/bin", "/var/lib/k0s/bin", "/snap/microk8s/current/bin")
PLAIN = ("", "runc", "crun")  # runtimes without a message
LEFT_OUT: tuple[Any, ...] = ({}, [], "", 0, False, "podsandbox")  # what a dump has of a handler that says nothing


@pytest.fixture(scope="module")
def nodes(cache: None) -> Iterator[dict[str, Node]]:
    """A node of each kind, with what the cases name."""
    found = {name: Node(NODES[name]) for name in VERSIONS}
    for node in found.values():
        node.install()
        for path in NAMED:
            node.path(path).write_text('#!/bin/sh\nexec runc "$@"\n')
            node.path(path).chmod(0o755)
    yield found
    for node in found.values():
        node.close()


@pytest.fixture
def node(nodes: dict[str, Node], request: pytest.FixtureRequest) -> Iterator[Node]:
    """The node of a run with the files of its case, which go again."""
    kind, name = request.param
    node = nodes[kind]
    aside = {path: path.read_bytes() for path in [node.path("/etc/containerd/config.toml")] if path.exists()}
    for path in aside:
        path.unlink()
    for inside, text in files(name).items():
        node.path(inside).parent.mkdir(parents=True, exist_ok=True)
        node.path(inside).write_bytes(text.encode())
    for folder in BROUGHT if CASES[name].main else ():
        node.run("mkdir", "-p", folder)
        node.run("ln", "-sfn", "/usr/bin/containerd", f"{folder}/containerd")
    yield node
    for folder in (*FOLDERS, *BROUGHT):
        node.run("rm", "-rf", f"/{folder.lstrip('/')}")
    for path, data in aside.items():
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(data)


def snapshot(node: Node) -> dict[str, bytes]:
    """Every file that a case or an install may have put somewhere."""
    below = [path for folder in FOLDERS for path in sorted(node.path(folder).rglob("*")) if path.is_file()]
    stubs = [*node.path("/usr/bin").glob("oci-systemd-runtime.*")]
    return {str(path): path.read_bytes() for path in [*below, *stubs]}


def handlers(node: Node, main: str) -> tuple[dict[str, Any], str]:
    """The handlers that containerd reports, without PLAIN, and the default one."""
    value = tomllib.loads(node.run("containerd", "--config", main, "config", "dump").stdout)
    plugins = value["plugins"]
    part = (plugins.get("io.containerd.cri.v1.runtime") or plugins["io.containerd.grpc.v1.cri"])["containerd"]
    return {name: solid(table) for name, table in part["runtimes"].items()}, part["default_runtime_name"]


def solid(value: Any) -> Any:
    if not isinstance(value, dict):
        return value
    return {key: each for key, old in value.items() if (each := solid(old)) not in LEFT_OUT}


def words(case: Case) -> list[str]:
    return [case.engine, *(["--config", case.main] if case.main else [])]


@pytest.mark.parametrize(
    ("node", "name"),
    [((kind, name), name) for kind, name in RUNS],
    indirect=["node"],
    ids=[f"{VERSIONS[kind]}-{name}" for kind, name in RUNS],
)
def test_the_engine_says_what_install_said(node: Node, name: str) -> None:
    case, before = CASES[name], snapshot(node)
    if case.refused:
        with pytest.raises(LabError, match=case.refused):
            node.run("oci-systemd", "install", *words(case))
        assert snapshot(node) == before
        return
    was = said(node, case)
    for option in ([], ["--default"]):
        if option and case.as_default:
            continue
        done = node.run("oci-systemd", "install", *words(case), *option)
        assert ("was not asked" in done.stdout) == (name == "k3s-template"), done.stdout
        assert ("to change it, pass --runtime" in done.stderr) == (Path(case.behind).name not in PLAIN)
        check(case, was, said(node, case), default=bool(option))
    node.run("oci-systemd", "uninstall", case.engine)
    assert snapshot(node) == before


def said(node: Node, case: Case) -> tuple[dict[str, Any], str]:
    """The engine's answer about its present files."""
    if case.engine == "docker":
        node.run("dockerd", "--validate", "--config-file", main_of(case))
        return {}, ""
    return handlers(node, main_of(case))


def check(case: Case, before: tuple[dict[str, Any], str], after: tuple[dict[str, Any], str], *, default: bool) -> None:
    """Our handler is there, a copy of the default one, and everything else is unchanged."""
    if case.engine == "docker" or any(path.endswith(".tmpl") for path in case.written):
        return
    (tables, chosen), (old, usual) = after, before
    ours = tables.pop("systemd")
    assert tables == old
    assert chosen == ("systemd" if default else usual)
    assert Path(ours["options"].pop("BinaryName")).name.startswith("oci-systemd-runtime")
    like = dict(old.get(usual) or old["runc"])
    like["options"] = {key: value for key, value in like.get("options", {}).items() if key.lower() != "binaryname"}
    del ours["pod_annotations"]
    assert solid(ours) == solid({**like, "runtime_type": ours["runtime_type"]})


# A file that somebody moved on since


def test_handler_that_migrate_has_moved_is_taken_away(nodes: dict[str, Node]) -> None:
    node = nodes["runc-1.3"]
    config = node.path("/etc/containerd/config.toml")
    kept = config.read_bytes()
    config.write_text(
        'version = 2\n[plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc]\n  runtime_type = "io.containerd.runc.v2"\n'
    )
    try:
        node.run("oci-systemd", "install", "containerd", "--default")
        migrated = node.run("containerd", "config", "migrate").stdout
        assert "oci-systemd-runtime" in migrated
        config.write_text(migrated)
        node.run("oci-systemd", "uninstall", "containerd")
        assert "oci-systemd" not in config.read_text()
        assert handlers(node, "/etc/containerd/config.toml")[1] == "runc"
        assert not node.path("/etc/oci-systemd/engines/containerd.json").exists()
    finally:
        config.write_bytes(kept)
