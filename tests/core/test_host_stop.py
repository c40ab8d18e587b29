"""How the host's own systemd stops a container's scope: at `systemctl stop`, and when the host shuts down."""

from __future__ import annotations

from typing import Any

import pytest

from oci_systemd.core import argv
from oci_systemd.core.cgroups import scope
from oci_systemd.core.container import from_spec
from oci_systemd.core.edits import SetAnnotation
from oci_systemd.core.rules import AFTER, KILL_SIGNAL
from oci_systemd.core.settings import Settings
from tests.core.build import adjusted, annotated, container, of_kind


def signals(given: Any, settings: Settings | None = None) -> list[str]:
    """The values that the adjustment gives the property."""
    return [edit.value for edit in of_kind(adjusted(given, settings), SetAnnotation) if edit.key == KILL_SIGNAL]


CASES: dict[str, tuple[dict[str, Any], str | None, list[str]]] = {
    "the default": ({}, None, ["37"]),
    "the setting's": ({}, "SIGRTMIN+4", ["38"]),
    "the pod's": ({"annotations": annotated(stop_signal="SIGINT")}, None, ["2"]),
    "the old annotation's": ({"annotations": {"io.kubernetes.cri-o.StopSignal": "SIGPWR"}}, None, ["30"]),
    "the setting's none": ({}, "none", []),
    "the pod's none": ({"annotations": annotated(stop_signal="none")}, None, []),
    "SIGTERM, which the host sends anyway": ({"annotations": annotated(stop_signal="SIGTERM")}, None, []),
    "one of its own": ({"annotations": {KILL_SIGNAL: "2"}}, None, []),
    "one of its own with a type": ({"annotations": {KILL_SIGNAL: "int32 2"}}, None, []),
    "podman's value for a container without systemd": ({"annotations": {KILL_SIGNAL: "15"}}, None, ["37"]),
    "podman's for systemd": ({"annotations": {KILL_SIGNAL: "37"}}, None, []),
    "no scope": ({"scope": False}, None, []),
    "nobody knows": ({"scope": None}, None, []),
    "not systemd": ({"args": ("sleep",)}, None, []),
    "not systemd, with the cgroup alone": ({"args": ("sleep",), "annotations": annotated(cgroup="rw")}, None, []),
}


@pytest.mark.parametrize(("changes", "setting", "values"), CASES.values(), ids=CASES)
def test_the_scope_is_stopped_by(changes: dict[str, Any], setting: str | None, values: list[str]) -> None:
    settings = Settings({"stop.signal": setting} if setting else {})
    assert signals(container(**{"scope": True, **changes}), settings) == values


KEPT = {
    "one of its own": ({"scope": True, "annotations": {KILL_SIGNAL: "2"}}, "already set"),
    "nobody knows": ({}, "unknown whether the runtime creates a systemd scope"),
}


@pytest.mark.parametrize(("changes", "reason"), KEPT.values(), ids=KEPT)
def test_what_stays_is_explained(changes: dict[str, Any], reason: str) -> None:
    kept = adjusted(container(**changes)).kept
    assert (f"annotation {KILL_SIGNAL}", reason) in [(each.what, each.reason) for each in kept]


PODMAN, CRIO, OTHER = "machine.slice:libpod:0123ab", "kubepods.slice:crio:0123ab", "system.slice:docker:0123ab"
MONITORS: dict[str, tuple[dict[str, Any], list[str]]] = {
    "podman": ({"cgroups_path": PODMAN}, ["['libpod-conmon-0123ab.scope']"]),
    "podman that recognizes systemd": (
        {"cgroups_path": PODMAN, "annotations": {KILL_SIGNAL: "37"}},
        ["['libpod-conmon-0123ab.scope']"],
    ),
    "CRI-O": ({"cgroups_path": CRIO}, ["['crio-conmon-0123ab.scope']"]),
    "Docker has none": ({"cgroups_path": OTHER}, []),
    "one of its own": ({"cgroups_path": PODMAN, "annotations": {AFTER: "['x.service']"}}, []),
    "a name that is no ID": ({"cgroups_path": "machine.slice:libpod:x'y"}, []),
    "no scope": ({"cgroups_path": PODMAN, "scope": False}, []),
    "the pod's none": ({"cgroups_path": PODMAN, "annotations": annotated(stop_signal="none")}, []),
    "not systemd": ({"cgroups_path": PODMAN, "args": ("sleep",)}, []),
}


@pytest.mark.parametrize(("changes", "values"), MONITORS.values(), ids=MONITORS)
def test_the_scope_stops_before_that_of_its_conmon(changes: dict[str, Any], values: list[str]) -> None:
    edits = of_kind(adjusted(container(**{"scope": True, **changes})), SetAnnotation)
    assert [edit.value for edit in edits if edit.key == AFTER] == values


PATHS = {
    "machine.slice:libpod:0123": True,
    "kubepods-burstable.slice:cri-containerd:0123": True,
    ":runc:0123": True,
    "/k8s.io/0123": False,
    "name": False,
    "a:b": False,
    "": None,
}


@pytest.mark.parametrize(("path", "expected"), PATHS.items())
def test_without_a_command_line_the_path_tells(path: str, expected: bool | None) -> None:
    assert scope(path) is expected
    assert from_spec({"linux": {"cgroupsPath": path}}).scope is expected


LINES = {
    "create ID": False,
    "--systemd-cgroup create ID": True,
    "-systemd-cgroup create ID": True,
    "--systemd-cgroup=true create ID": True,
    "--systemd-cgroup=1 create ID": True,
    "--systemd-cgroup=false create ID": False,
    "--systemd-cgroup --systemd-cgroup=F create ID": False,
    "--cgroup-manager systemd create ID": True,
    "--cgroup-manager=systemd create ID": True,
    "--cgroup-manager=cgroupfs create ID": False,
    "--cgroup-manager=disabled create ID": False,
    "--systemd-cgroup --cgroup-manager=cgroupfs create ID": False,
    "--root --systemd-cgroup create ID": False,
    "create --systemd-cgroup ID": False,
}


@pytest.mark.parametrize(("line", "expected"), LINES.items())
def test_the_command_line_proves_it(line: str, expected: bool) -> None:
    """A path of systemd's form proves nothing: the cgroupfs driver takes it for a name."""
    call = argv.parse(line.split())
    assert call
    assert call.systemd_cgroup is expected
    spec = {"linux": {"cgroupsPath": "system.slice:runc:ID"}}
    assert from_spec(spec, systemd_cgroup=call.systemd_cgroup).scope is expected
