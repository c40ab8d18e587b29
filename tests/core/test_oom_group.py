"""memory.oom.group of a container: whether one service that runs out of memory ends the whole of it."""

from __future__ import annotations

from typing import Any

import pytest

from oci_systemd.core.container import Mount
from oci_systemd.core.edits import SetUnified
from oci_systemd.core.rules import OOM_GROUP, RULES, oom_group
from oci_systemd.core.settings import Settings
from tests.core.build import adjusted, annotated, bind, container, of_kind

GROUP = {OOM_GROUP: "1"}
RW = Mount("/sys/fs/cgroup", "cgroup", "cgroup", ("nosuid", "rw"))

# What the container is, beside kubelet's 1; what the settings and the host are; and the value that is set.
CASES: dict[str, tuple[dict[str, Any], dict[str, Any], dict[str, Any], list[str]]] = {
    "kubelet's": ({}, {}, {}, ["0"]),
    "with a line's end": ({"unified": {OOM_GROUP: "1\n"}}, {}, {}, ["0"]),
    "on a writable cgroup": ({"cgroup": RW}, {}, {}, ["0"]),
    "none": ({"unified": {}}, {}, {}, []),
    "0 already": ({"unified": {OOM_GROUP: "0"}}, {}, {}, []),
    "another file": ({"unified": {"memory.max": "1"}}, {}, {}, []),
    "the setting leaves it": ({}, {"cgroup.oom_group": True}, {}, []),
    "a bind of the host's": ({"cgroup": bind("/sys/fs/cgroup")}, {}, {}, []),
    "the host's cgroup namespace": ({"cgroup": RW, "namespaces": {"pid": ""}}, {}, {}, []),
    "read-only, as the pod has it": ({"annotations": annotated(cgroup="ro")}, {}, {}, []),
    "writable, and the pod leaves it": ({"cgroup": RW, "annotations": annotated(cgroup="ro")}, {}, {}, ["0"]),
    "cgroup v1": ({"cgroup": RW}, {}, {"cgroup_v2": False}, []),
    "not systemd": ({"args": ("sleep",)}, {}, {}, []),
    "not systemd, with the cgroup alone": ({"args": ("sleep",), "annotations": annotated(cgroup="rw")}, {}, {}, []),
}


@pytest.mark.parametrize(("changes", "settings", "host", "values"), CASES.values(), ids=CASES)
def test_oom_group_is(
    changes: dict[str, Any], settings: dict[str, Any], host: dict[str, Any], values: list[str]
) -> None:
    given = container(**{"unified": GROUP, **changes})
    edits = of_kind(adjusted(given, Settings(settings), **host), SetUnified)
    assert [edit.value for edit in edits if edit.key == OOM_GROUP] == values


def test_what_the_setting_leaves_is_explained() -> None:
    kept = adjusted(container(unified=GROUP), Settings({"cgroup.oom_group": True})).kept
    assert (f"cgroup {OOM_GROUP}", "setting cgroup.oom_group is true") in [(each.what, each.reason) for each in kept]


def test_the_rule_is_one_of_the_rules() -> None:
    assert oom_group in RULES
