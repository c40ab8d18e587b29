"""What the plugin says of a container's stop: only where its owner may have to do something, and once for each workload."""

from __future__ import annotations

from typing import Any

import pytest

from oci_systemd.core.annotations import WANTED
from oci_systemd.core.rules import KILL_SIGNAL
from oci_systemd.core.settings import Settings
from oci_systemd.core.signals import STOP_SIGNAL
from oci_systemd.nri.messages import MESSAGES
from oci_systemd.nri.stop import IMAGE_SIGNAL, MOST
from tests.nri.calls import Asked
from tests.nri.requests import request, spec

CONTAINERD = ("containerd", "v2.1.9")
CRIO = {"io.kubernetes.cri-o.ContainerType": "container"}
SLICE, PLAIN = "kubepods-podx.slice:cri-containerd:x", "/k8s.io/x"
IGNORED = "lifecycle.stopSignal has no effect before containerd 2.3"


def connected(name: str = "containerd", version: str = "v2.1.9", settings: Settings | None = None) -> Asked:
    asked = Asked(settings)
    asked.ask("Configure", MESSAGES["ConfigureRequest"](runtime_name=name, runtime_version=version))
    return asked


def pod(name: str = "vm", *, path: str = SLICE, annotations: dict[str, str] | None = None, args: Any = ()) -> Any:
    given = request(spec(*args, annotations=annotations))
    given.pod.name = name
    given.container.linux.cgroups_path = path
    return given


def told(asked: Asked) -> list[tuple[str, str]]:
    return [(entry.level, entry.reason) for entry in asked.said if entry.message == "stop"]


# Runtime, version, the pod's annotations; what must be said, and what must not.
ENGINES: dict[str, tuple[str, str, dict[str, str], list[str], list[str]]] = {
    "containerd 1.7": ("containerd", "1.7.24~ds1", {}, ["STOPSIGNAL SIGRTMIN+3 in the image", IGNORED], []),
    "containerd 2.1": (*CONTAINERD, {}, ["STOPSIGNAL SIGRTMIN+3 in the image", IGNORED], []),
    "containerd 2.3": ("containerd", "v2.3.0", {}, ["or lifecycle.stopSignal SIGRTMIN+3 in the pod"], [IGNORED]),
    "containerd 2.10": ("containerd", "v2.10.1", {}, ["or lifecycle.stopSignal SIGRTMIN+3 in the pod"], [IGNORED]),
    "another": ("other", "1.0", {}, ["or lifecycle.stopSignal SIGRTMIN+3 in the pod"], [IGNORED]),
    "another signal": (*CONTAINERD, {STOP_SIGNAL: "SIGINT"}, ["STOPSIGNAL SIGINT in the image"], []),
    "CRI-O": ("cri-o", "1.37.0", CRIO, ["CRI-O sends SIGTERM", "STOPSIGNAL SIGRTMIN+3 in the image"], []),
    "CRI-O, another STOPSIGNAL": (
        "cri-o",
        "1.37.0",
        {**CRIO, IMAGE_SIGNAL: "SIGINT"},
        ["CRI-O sends SIGINT"],
        [],
    ),
}


@pytest.mark.parametrize(("name", "version", "annotations", "words", "none"), ENGINES.values(), ids=ENGINES)
def test_each_engine_has_its_own_remedy(
    name: str, version: str, annotations: dict[str, str], words: list[str], none: list[str]
) -> None:
    asked = connected(name, version)
    asked.create(pod(annotations=annotations))
    (level, sentence), *_ = told(asked)
    assert level == "info"
    assert [word for word in words if word not in sentence] == []
    assert [word for word in none if word in sentence] == []


def test_it_is_no_warning_of_the_container() -> None:
    asked = connected()
    asked.create(pod())
    assert [(entry.message, entry.level, entry.warnings) for entry in asked.said[-2:]] == [
        ("stop", "info", []),
        ("adjusted", "info", []),
    ]


RIGHT: dict[str, dict[str, Any]] = {
    "CRI-O, the image's STOPSIGNAL": {"annotations": {**CRIO, IMAGE_SIGNAL: "SIGRTMIN+3"}, "path": PLAIN},
    "the same as a number": {"annotations": {**CRIO, IMAGE_SIGNAL: "37"}, "path": PLAIN},
    "none is wanted": {"annotations": {STOP_SIGNAL: "none"}},
    "SIGTERM is wanted": {"annotations": {STOP_SIGNAL: "SIGTERM"}},
    "not systemd": {"args": ("sleep",)},
    "not systemd, with the cgroup alone": {"args": ("sleep",), "annotations": {f"{WANTED}.cgroup": "rw"}},
}


@pytest.mark.parametrize("given", RIGHT.values(), ids=RIGHT)
def test_nothing_is_said_where_nothing_is_to_be_done(given: dict[str, Any]) -> None:
    asked = connected()
    asked.create(pod(**given))
    assert told(asked) == []


# Two pods' names, and whether they count as one workload.
NAMES = {
    "a Deployment": ("web-7d4b9c6f8-x2x4z", "web-7d4b9c6f8-bcdfg", True),
    "its next revision": ("web-7d4b9c6f8-x2x4z", "web-5f9c8d7b6-x2x4z", True),
    "a DaemonSet": ("agent-x2x4z", "agent-zzzzz", True),
    "a StatefulSet": ("vm-0", "vm-12", True),
    "a CronJob": ("backup-28914720-x2x4z", "backup-28914780-zzzzz", True),
    "the same pod again": ("vm", "vm", True),
    "another": ("web-7d4b9c6f8-x2x4z", "api-7d4b9c6f8-x2x4z", False),
    "names of words": ("my-nginx", "my-mysql", False),
}


@pytest.mark.parametrize(("first", "second", "one"), NAMES.values(), ids=NAMES)
def test_a_workload_is_told_once(first: str, second: str, one: bool) -> None:
    asked = connected()
    for name in (first, second, second):
        asked.create(pod(name))
    assert len(told(asked)) == (1 if one else 2)


def test_another_namespace_or_container_is_another_workload() -> None:
    asked = connected()
    others = [pod(), pod(), pod()]
    others[1].pod.namespace = "other"
    others[2].container.name = "side"
    for each in others:
        asked.create(each)
    assert len(told(asked)) == 3


def test_it_is_told_again_by_another_runtime() -> None:
    asked = connected()
    asked.create(pod())
    asked.plugin.end()
    asked.ask("Configure", MESSAGES["ConfigureRequest"](runtime_name="containerd", runtime_version="v2.3.0"))
    asked.create(pod())
    assert len(told(asked)) == 2


def test_what_is_remembered_is_bounded() -> None:
    """Also what one of them may hold: a signal may be written with any number of zeros."""
    asked = connected()
    asked.create(pod(annotations={STOP_SIGNAL: "0" * 10_000 + "2"}))
    assert max(len(sentence) for _, sentence in told(asked)) < 500
    for number in range(MOST + 10):
        asked.create(pod(f"p{number}x"))
    assert len(asked.plugin._told_of_stop._said) <= MOST


# The host's own stop.


PATHS = {"a scope": (SLICE, "37"), "no scope": (PLAIN, ""), "nobody knows": ("", "")}


@pytest.mark.parametrize(("path", "value"), PATHS.values(), ids=PATHS)
def test_a_scope_is_stopped_by_the_stop_signal(path: str, value: str) -> None:
    asked = connected()
    assert asked.create(pod(path=path)).annotations.get(KILL_SIGNAL, "") == value
    assert [word for _, word in told(asked) if "does not report the container's cgroup" in word] == (
        []
        if path
        else ["the engine does not report the container's cgroup: a host that shuts down may kill it after 90 s"]
    )


def test_crio_drops_a_property_of_the_scope_and_that_is_told() -> None:
    """CRI-O filters org.systemd.property. in what plugins answer, unless allowed_annotations has it."""
    asked = connected("cri-o", "1.37.0")
    annotations = {**CRIO, IMAGE_SIGNAL: "SIGRTMIN+3"}
    asked.create(pod(path="kubepods-podx.slice:crio:x", annotations=annotations))
    ((level, sentence),) = told(asked)
    assert (level, KILL_SIGNAL in sentence) == ("info", True)


def test_strict_refuses_what_nri_cannot_do() -> None:
    twice = spec(mounts=[spec()["mounts"][3]])
    assert connected().create(request(twice)) is None
    with pytest.raises(AssertionError, match=r"several mounts at /sys/fs/cgroup.* detect\.strict"):
        connected(settings=Settings({"detect.strict": True})).create(request(twice))


def test_strict_refuses_a_shared_pid_namespace() -> None:
    given = spec()
    given["linux"]["namespaces"][0]["path"] = "/proc/7/ns/pid"
    with pytest.raises(AssertionError, match=r"private PID namespace.* detect\.strict"):
        connected(settings=Settings({"detect.strict": True})).create(request(given))


def test_kubelets_oom_group_is_taken_apart() -> None:
    given = spec()
    given["linux"]["resources"] = {"unified": {"memory.oom.group": "1"}}
    unified = connected().create(request(given)).linux.resources.unified
    assert dict(unified) == {"memory.oom.group": "0", "cgroup.max.descendants": "1000"}
