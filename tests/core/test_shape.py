"""What makes a container of another shape: each fact that another answer hangs on; and what does not."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

from oci_systemd.core import annotations as a
from oci_systemd.core import shape as shape_module
from oci_systemd.core.adjust import Adjustment, adjust
from oci_systemd.core.case import READ
from oci_systemd.core.container import Container, Mount
from oci_systemd.core.errors import Problem
from oci_systemd.core.host import Host
from oci_systemd.core.rules import CREDENTIALS
from oci_systemd.core.settings import Settings
from oci_systemd.core.shape import IN_PART, for_another, shape
from tests.core.build import API, CGROUP, POD_UID, annotated, container, described

EVERYTHING = Settings({"security.allow": [a.CGROUP, a.SELINUX, a.APPARMOR]})
BY_POD = Settings({"machine_id.source": "pod"})
BY_NAME = Settings({"machine_id.source": "name"})
NAMED = {"pod_namespace": "shop", "pod_name": "web-0", "name": "main"}
SERVICES = annotated(environment="services")
HOST = Host()
TYPE = "io.kubernetes.cri.container-type"

# Two containers that differ in one fact, and by that in their answers.
FACTS: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "the command": ({}, {"args": ("/bin/sh",)}),
    "$container": ({}, {"env": ("container=other",)}),
    "$container_uuid": ({}, {"env": ("container_uuid=" + "a" * 32,)}),
    "a mount": ({}, {"mounts": (*API, CGROUP, Mount("/run", "tmpfs"))}),
    "a mount's options": ({}, {"mounts": (*API, Mount(CGROUP.destination, "cgroup", "cgroup", ("rw",)))}),
    "the order of mounts": (
        {"mounts": (*API, CGROUP, Mount("/run"), Mount("/run/lock"))},
        {"mounts": (*API, CGROUP, Mount("/run/lock"), Mount("/run"))},
    ),
    "an annotation": ({}, {"annotations": annotated(tmpfs="none")}),
    "an annotation's value": ({"annotations": annotated(wanted="true")}, {"annotations": annotated(wanted="false")}),
    "an unknown annotation": ({}, {"annotations": annotated(unknown="x")}),
    "whom an annotation speaks to": (
        {"annotations": {f"{a.TMPFS}/main": "none"}, "name": "main"},
        {"annotations": {f"{a.TMPFS}/main": "none"}, "name": "side"},
    ),
    "an old stop signal": ({}, {"annotations": dict.fromkeys(a.OLD_STOP_SIGNALS, "SIGINT")}),
    "a sandbox": ({}, {"annotations": {TYPE: "sandbox"}}),
    "the PID namespace": ({}, {"namespaces": {"cgroup": ""}}),
    "a joined PID namespace": ({}, {"namespaces": {"cgroup": "", "pid": "/proc/1/ns/pid"}}),
    "the cgroup namespace": ({}, {"namespaces": {"pid": ""}}),
    "no cgroup of its own": ({}, {"own_cgroup": False}),
    "a scope": ({}, {"scope": True}),
    "the group that an OOM ends": ({}, {"unified": {"memory.oom.group": "1"}}),
    "the user": ({}, {"uid": 7}),
    "a read-only root": ({}, {"readonly_root": True}),
    "the SELinux label": ({}, {"selinux_label": "a:b:container_t:s0"}),
    "the AppArmor profile": (
        {"annotations": annotated(apparmor="mine")},
        {"annotations": annotated(apparmor="mine"), "apparmor_profile": "mine"},
    ),
    "a device": ({}, {"devices": ("/dev/tty7",)}),
    "a limit": ({}, {"unified": {"cgroup.max.descendants": "7"}}),
    "no ID": ({}, {"id": ""}),
    "capabilities": ({"capabilities": ("CAP_SETUID",)}, {"capabilities": ()}),
    "no pod": ({"pod_uid": POD_UID, "name": "main"}, {"pod_uid": "", "name": "main"}),
    "no name of the pod": (NAMED, {**NAMED, "pod_name": ""}),
    "credentials of its own": (
        {"mounts": (*API, CGROUP, Mount(CREDENTIALS, "bind"))},
        {"mounts": (*API, CGROUP, Mount(CREDENTIALS, "bind")), "env": ("CREDENTIALS_DIRECTORY=/x",)},
    ),
    "no terminal": (
        {"annotations": annotated(console="journal"), "terminal": False},
        {"annotations": annotated(console="journal"), "terminal": True},
    ),
    "a terminal of another kind": (
        {"annotations": annotated(console="journal"), "env": ("TERM=xterm",)},
        {"annotations": annotated(console="journal"), "env": ("TERM=vt100",)},
    ),
    "a variable for services": ({"annotations": SERVICES}, {"annotations": SERVICES, "env": ("A=b",)}),
    "what a variable for services says": (
        {"annotations": SERVICES, "env": ("A=b",)},
        {"annotations": SERVICES, "env": ("A=c",)},
    ),
    "a variable for the services of one container": (
        {"annotations": {f"{a.ENVIRONMENT}/main": "A"}, "name": "main", "env": ("A=b",)},
        {"annotations": {f"{a.ENVIRONMENT}/main": "A"}, "name": "main", "env": ("A=c",)},
    ),
    "no name": ({"pod_uid": POD_UID, "name": "main"}, {"pod_uid": POD_UID}),
}

# Two containers that differ, but not in what they get, or in the machine-id alone.
OWN: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "the ID": ({}, {"id": "ab" * 32}),
    "an ID that is not hexadecimal": ({}, {"id": "name"}),
    "the name": ({"name": "main"}, {"name": "side"}),
    "the name, where an annotation speaks to none of them": (
        {"name": "main", "annotations": annotated(wanted="true")},
        {"name": "side", "annotations": annotated(wanted="true")},
    ),
    "the pod": ({"pod_uid": POD_UID, "name": "main"}, {"pod_uid": POD_UID[::-1].replace("-", ""), "name": "side"}),
    "where the pod's UID stands": (
        {"pod_uid": POD_UID, "name": "main"},
        {"annotations": {"io.kubernetes.pod.uid": POD_UID}, "name": "main"},
    ),
    "the pod's name": (NAMED, {**NAMED, "pod_name": "web-1"}),
    "a variable beside the console": (
        {"annotations": annotated(console="journal")},
        {"annotations": annotated(console="journal"), "env": ("A=b",)},
    ),
    "another variable": ({}, {"env": ("HOSTNAME=x", "containers=1")}),
    "the order of annotations": (
        {"annotations": annotated(tmpfs="none", unknown="1", other="2")},
        {"annotations": annotated(other="2", unknown="1", tmpfs="none")},
    ),
    "the order of namespaces": (
        {"namespaces": {"pid": "", "cgroup": ""}},
        {"namespaces": {"cgroup": "", "pid": ""}},
    ),
    "another annotation": ({}, {"annotations": {"io.kubernetes.cri.sandbox-id": "x"}}),
    "another namespace": ({"namespaces": {"pid": "", "cgroup": ""}}, {"namespaces": {"pid": "", "cgroup": "", "net": "/x"}}),
}  # fmt: skip


def outcome(given: Container, settings: Settings) -> Adjustment | str:
    try:
        return adjust(given, settings, HOST)
    except Problem as problem:
        return str(problem)


@pytest.mark.parametrize(("first", "second"), FACTS.values(), ids=FACTS)
def test_what_an_answer_hangs_on_makes_another_shape(first: dict[str, Any], second: dict[str, Any]) -> None:
    one, other = container(**first), container(**second)
    assert any(
        described(outcome(one, settings)) != described(outcome(other, settings))
        for settings in (EVERYTHING, BY_POD, BY_NAME)
    ), "a fact that nothing hangs on proves nothing"
    assert shape(one) != shape(other)


@pytest.mark.parametrize("settings", [EVERYTHING, BY_POD, BY_NAME], ids=["by container", "by pod", "by name"])
@pytest.mark.parametrize(("first", "second"), OWN.values(), ids=OWN)
def test_what_is_a_containers_own_makes_none(first: dict[str, Any], second: dict[str, Any], settings: Settings) -> None:
    one, other = container(**first), container(**second)
    assert shape(one) == shape(other)
    known, found = outcome(one, settings), outcome(other, settings)
    assert isinstance(known, Adjustment)
    before = described(known)
    assert described(for_another(known, other)) == described(found)
    assert described(known) == before


def test_a_machine_id_that_somebody_chose_is_nobody_elses() -> None:
    own = {"env": ("container_uuid=x", "container_uuid=" + "b" * 32)}
    one, other = container(**own), container(**own, id="ab" * 32)
    assert described(for_another(adjust(one, Settings(), HOST), other)) == described(adjust(other, Settings(), HOST))


def test_each_variable_that_a_rule_looks_at_is_in_the_shape() -> None:
    core = Path(shape_module.__file__).parent
    looked = {name for file in core.glob("*.py") for name in re.findall(r"\.env\((.*?)\)", file.read_text())}
    assert looked == {f'"{name}"' for name in READ}


def test_each_part_is_a_fact() -> None:
    """An unknown name would leave its fact in the shape, with the container's own value."""
    assert {*IN_PART} <= {*Container.__slots__}
