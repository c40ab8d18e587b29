"""The changes in effect in a container, read from its config.json: each change of the adjustment, and no other."""

from __future__ import annotations

import json
import uuid
from pathlib import Path
from typing import Any

import pytest

from oci_systemd.core.adjust import adjust
from oci_systemd.core.apply import apply
from oci_systemd.core.container import Container, Mount, from_spec
from oci_systemd.core.edits import AddMount, SetEnv, SetMountOptions, SetSelinuxLabel, SetUnified
from oci_systemd.core.effects import effects
from oci_systemd.core.errors import Refused
from oci_systemd.core.host import Host
from oci_systemd.core.settings import Settings
from tests.core.build import CGROUP, ID, KEY, POD_UID, annotated, bind, container

CORPUS = Path(__file__).parents[1] / "corpus"
SPECS = sorted(path for path in CORPUS.glob("*/*.json") if not path.stem.endswith(".expected"))
OF_POD = uuid.uuid5(uuid.UUID(POD_UID), "main").hex
OF_NAMES = uuid.uuid5(uuid.NAMESPACE_OID, "shop/web-0/main").hex
OWN = ("rw", "rprivate", "nosuid", "nodev")
RW = Mount("/sys/fs/cgroup", "cgroup", "cgroup", ("nosuid", "rw"))


def told(given: Container) -> dict[str, list[tuple[str, str]]]:
    """Each effect's values with their notes, by what it is."""
    found: dict[str, list[tuple[str, str]]] = {}
    for effect in effects(given, Settings()):
        found.setdefault(effect.what, []).append((effect.value, effect.note))
    return found


def tmpfs(destination: str, *options: str, source: str = "tmpfs") -> Mount:
    return Mount(destination, "tmpfs", source, options)


CASES: dict[str, tuple[dict[str, Any], str, list[tuple[str, str]]]] = {
    "a writable cgroup": ({"cgroup": RW}, "cgroup", [("rw", "")]),
    "a read-only one": ({}, "cgroup", []),
    "none": ({"cgroup": None}, "cgroup", []),
    "the host's, bound": ({"cgroup": bind("/sys/fs/cgroup", "rw")}, "cgroup", []),
    "one that a later mount hides": ({"cgroup": RW, "mounts": (bind("/sys"),)}, "cgroup", []),
    "the host's, without a namespace": (
        {"cgroup": RW, "namespaces": {"pid": ""}},
        "cgroup",
        [("rw", "the host's tree: no private cgroup namespace")],
    ),
    "a limit on cgroups": (
        {"unified": {"cgroup.max.descendants": "7", "memory.max": "1"}},
        "cgroup.max.descendants",
        [("7", "")],
    ),
    "the group that an OOM ends": ({"unified": {"memory.oom.group": "1"}}, "memory.oom.group", []),
    "no such group": ({"unified": {"memory.oom.group": "0"}}, "memory.oom.group", [("0", "")]),
    "the host's own stop": ({"annotations": {"org.systemd.property.KillSignal": "37"}}, "KillSignal", [("37", "")]),
    "our tmpfs": ({"mounts": (tmpfs("/run", *OWN, "mode=755"),)}, "tmpfs", [("/run", "")]),
    "our tmpfs with what the settings add": (
        {"mounts": (tmpfs("/tmp", *OWN, "mode=1777", "size=64m", "tmpcopyup"),)},
        "tmpfs",
        [("/tmp", "size=64m,tmpcopyup")],
    ),
    "podman's tmpfs": ({"mounts": (tmpfs("/run", *OWN, "tmpcopyup"),)}, "tmpfs", []),
    "Docker's tmpfs": ({"mounts": (tmpfs("/run", "noexec", "nosuid", "nodev", "rprivate"),)}, "tmpfs", []),
    "a tmpfs of another source": ({"mounts": (tmpfs("/run", *OWN, "mode=755", source="shm"),)}, "tmpfs", []),
    "our tmpfs under another mount": ({"mounts": (tmpfs("/run", *OWN, "mode=755"), bind("/run"))}, "tmpfs", []),
    "container": ({"env": ("container=lab",)}, "container", [("lab", "")]),
    "no container": ({}, "container", []),
    "container_uuid from the ID": (
        {"env": (f"container_uuid={ID[:32]}",)},
        "container_uuid",
        [(ID[:32], "from the container's ID")],
    ),
    "credentials of a mount": (
        {"env": ("CREDENTIALS_DIRECTORY=/run/credentials/@system",)},
        "credentials",
        [("/run/credentials/@system", "")],
    ),
    "credentials elsewhere": ({"env": ("CREDENTIALS_DIRECTORY=/x",)}, "credentials", []),
    "the journal on the console": (
        {"args": ("/sbin/init", "systemd.journald.forward_to_console=1"), "terminal": True},
        "console",
        [("journal", "")],
    ),
    "the journal on no console": (
        {"args": ("/sbin/init", "systemd.journald.forward_to_console=1"), "terminal": False},
        "console",
        [("journal", "no effect without a terminal")],
    ),
    "variables for services": (
        {"args": ("/sbin/init", "systemd.setenv=A=s3cret", "systemd.setenv=B=1"), "env": ("A=s3cret", "B=2")},
        "environment",
        [("A", "")],
    ),
    "container_uuid from the names": (
        {"env": (f"container_uuid={OF_NAMES}",), "pod_namespace": "shop", "pod_name": "web-0", "name": "main"},
        "container_uuid",
        [(OF_NAMES, "from the names of namespace, pod and container")],
    ),
    "container_uuid from the pod": (
        {
            "env": (f"container_uuid={OF_POD}",),
            "pod_uid": POD_UID,
            "name": "main",
        },
        "container_uuid",
        [(OF_POD, "from the pod's UID and the container's name")],
    ),
    "a container_uuid of its own": (
        {"env": (f"container_uuid={'ab' * 16}",)},
        "container_uuid",
        [("ab" * 16, "the container's own")],
    ),
    "a container_uuid that is not a UUID": (
        {"env": ("container_uuid=x",)},
        "container_uuid",
        [("x", "not an id128: systemd ignores it")],
    ),
    "container_init_t": (
        {"selinux_label": "u:r:container_init_t:s0:c1,c2"},
        "selinux",
        [("container_init_t", "")],
    ),
    "another type": ({"selinux_label": "u:r:container_t:s0"}, "selinux", []),
    "no type": ({"selinux_label": "odd"}, "selinux", []),
    "a type that was asked for": (
        {"selinux_label": "u:r:spc_t:s0", "annotations": annotated(selinux="spc_t")},
        "selinux",
        [("spc_t", "")],
    ),
    "an AppArmor profile that was asked for": (
        {"apparmor_profile": "lab", "annotations": annotated(apparmor="lab")},
        "apparmor",
        [("lab", "")],
    ),
    "one that was asked for and is not there": (
        {"apparmor_profile": "other", "annotations": annotated(apparmor="lab")},
        "apparmor",
        [],
    ),
    "no profile, as asked": ({"annotations": annotated(apparmor="unconfined")}, "apparmor", [("unconfined", "")]),
    "nobody asked": ({"apparmor_profile": "docker-default"}, "apparmor", []),
    "a wrong annotation": ({"annotations": {f"{KEY}.apparmor": "\x1b"}}, "apparmor", []),
}


@pytest.mark.parametrize(("changes", "what", "expected"), CASES.values(), ids=CASES)
def test_in_effect_is(changes: dict[str, Any], what: str, expected: list[tuple[str, str]]) -> None:
    assert told(container(**{"cgroup": CGROUP, **changes})).get(what, []) == expected


@pytest.mark.parametrize("path", SPECS, ids=lambda path: f"{path.parent.name}/{path.stem}")
def test_what_an_adjustment_did_is_told(path: Path) -> None:
    spec = json.loads(path.read_bytes())
    try:
        edits = adjust(from_spec(spec, ID), Settings(), Host()).edits
    except Refused:
        edits = []
    after = told(from_spec(apply(spec, edits), ID))
    assert [value for value, _ in after.get("tmpfs", [])] == [
        mount.destination
        for mount in from_spec(apply(spec, edits)).mounts
        if mount.type == "tmpfs"
        and any(isinstance(edit, AddMount) and edit.mount.destination == mount.destination for edit in edits)
    ]
    for edit in edits:
        if isinstance(edit, SetMountOptions):
            assert after["cgroup"][0][0] == "rw"
        if isinstance(edit, SetUnified):
            assert after[edit.key] == [(edit.value, "")]
        if isinstance(edit, SetEnv):
            assert after[edit.name][0][0] == edit.value
        if isinstance(edit, SetSelinuxLabel):
            assert after["selinux"] == [("container_init_t", "")]


@pytest.mark.parametrize("path", SPECS, ids=lambda path: f"{path.parent.name}/{path.stem}")
def test_no_engines_tmpfs_is_taken_for_ours(path: Path) -> None:
    assert "tmpfs" not in told(from_spec(json.loads(path.read_bytes()), ID))


def test_ten_thousand_tmpfs_take_no_longer_than_those_that_may_be_ours() -> None:
    mounts = tuple(tmpfs(f"/m{number}", *OWN, "mode=755") for number in range(10_000))
    assert len(told(container(mounts=mounts))["tmpfs"]) == 65
