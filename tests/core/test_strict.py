"""The setting detect.strict: where systemd would exit, a pod's author hears why, in place of a container that dies."""

from __future__ import annotations

from typing import Any

import pytest

from oci_systemd.core.settings import Settings
from tests.core.build import adjusted, annotated, bind, container, refused
from tests.core.test_rules import OBSTACLES

STRICT = Settings({"detect.strict": True})
END = 'or set annotation io.systemd.container to "false" (the setting detect.strict is true on this node)'

# What the container and the host are, and the words that its author reads.
CASES: dict[str, tuple[dict[str, Any], dict[str, Any], str]] = {
    **OBSTACLES,
    "shared PID namespace": ({"namespaces": {"pid": "/proc/7/ns/pid", "cgroup": ""}}, {}, "private PID namespace"),
    "the host's PID namespace": ({"namespaces": {"cgroup": ""}}, {}, "private PID namespace"),
    "another user": ({"uid": 1000}, {}, "the user is 1000, not 0"),
}


@pytest.mark.parametrize(("changes", "host", "said"), CASES.values(), ids=CASES)
def test_what_looks_like_systemd_and_cannot_be_served(changes: dict[str, Any], host: dict[str, Any], said: str) -> None:
    sentence = refused(container(**changes), STRICT, **host)
    assert said in sentence
    assert sentence.endswith(END)
    assert "; " in sentence.removesuffix(END), "it says what to do"
    assert refused(container(**changes), **host) == "", "by default it starts as it is described"


OTHERS: dict[str, dict[str, Any]] = {
    "another command": {"args": ("sleep",)},
    "one that opted out": {"annotations": annotated(wanted="false"), "namespaces": {}},
    "a sandbox": {"annotations": {"io.kubernetes.cri.container-type": "sandbox"}, "namespaces": {}},
    "another command of another user, without a PID namespace": {"args": ("sleep",), "uid": 7, "namespaces": {}},
    "the cgroup alone, for another user": {"args": ("sleep",), "uid": 7, "annotations": annotated(cgroup="rw")},
}


@pytest.mark.parametrize("changes", OTHERS.values(), ids=OTHERS)
def test_nothing_else_is_refused(changes: dict[str, Any]) -> None:
    assert refused(container(**changes), STRICT) == ""


def test_what_is_served_is_served_alike() -> None:
    given = container(mounts=(bind("/run"),))
    assert [*map(str, adjusted(given, STRICT).edits)] == [*map(str, adjusted(given).edits)]
