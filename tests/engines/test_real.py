"""Our handler in real configurations: where it goes, its options, and that uninstall restores every byte.

`tests/e2e/test_configurations.py` asks the engines themselves about the same cases.
"""

from __future__ import annotations

from typing import Any

import pytest

from oci_systemd.core.errors import Problem
from oci_systemd.engines.containerd import PASSED
from oci_systemd.engines.containerd_files import configuration
from oci_systemd.engines.crio import merged
from oci_systemd.engines.engines import ENGINES
from tests.engines.build import LAUNCHER, Node, check_cycle
from tests.engines.real import CASES, FOLDER, RUNS, Case, files, main_of

runs = pytest.mark.parametrize(("name", "version"), RUNS.values(), ids=RUNS)


def node_of(name: str, version: str) -> tuple[Case, Node]:
    case = CASES[name]
    return case, Node(case.engine, files(name), main_of(case), version)


def ours(node: Node) -> dict[str, Any]:
    """Our handler as its engine has it."""
    if node.engine == "docker":
        return dict(node.value()["runtimes"]["systemd"])
    if node.engine == "crio":
        return dict(merged(node, node.main)["runtimes"]["systemd"])
    return configuration(node, node.main, node.version).handlers["systemd"]


def test_each_folder_is_a_case() -> None:
    assert {path.name for path in FOLDER.iterdir()} - {"uninstall-after-migrate"} == {*CASES}


@runs
def test_handler_goes_where_it_is_read_and_is_taken_back(name: str, version: str) -> None:
    case, node = node_of(name, version)
    if case.refused:
        before = dict(node.files)
        with pytest.raises(Problem, match=case.refused):
            node.install()
        assert node.files == before
        return
    done = check_cycle(node)
    assert {path for path, text in done.others.items() if text != node.files.get(path)} == {*case.written}
    if case.engine == "containerd" and name != "k3s-template":  # k3s makes its file of the template
        kept = {
            key: value for key, value in ours(done).items() if key not in ("runtime_type", "pod_annotations", "options")
        }
        assert (kept, ours(done)["options"]) == (case.table, {"BinaryName": LAUNCHER, **case.options})
        assert [each for each in PASSED if each not in ours(done)["pod_annotations"]] == []
    elif case.engine == "docker":
        assert ours(done) == {"path": LAUNCHER, **case.table}
    elif case.engine == "crio":
        assert ours(done)["runtime_path"] == LAUNCHER


@runs
def test_default_goes_where_it_is_read_and_is_taken_back(name: str, version: str) -> None:
    case, node = node_of(name, version)
    if case.refused:
        return
    if case.as_default:
        with pytest.raises(Problem, match=case.as_default):
            node.install(default=True)
        return
    done = check_cycle(node, default=True)
    if case.engine == "containerd":
        assert configuration(done, done.main, version).default == "systemd"


@runs
def test_the_default_handler_s_program_is_behind_ours(name: str, version: str) -> None:
    case, node = node_of(name, version)
    assert ENGINES[case.engine].base_runtime(node, node.main, version) == case.behind or case.refused
