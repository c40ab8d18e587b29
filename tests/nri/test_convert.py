"""What lies between NRI's messages and the core, and that nothing is lost on the way in silence."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from oci_systemd.core import annotations as a
from oci_systemd.core.edits import KINDS
from oci_systemd.core.settings import Settings
from oci_systemd.core.signals import ADJUSTED, STOP_SIGNAL
from oci_systemd.nri import node
from oci_systemd.nri.convert import ENCODE, container
from tests.nri.calls import Asked
from tests.nri.merging import merged
from tests.nri.requests import ID, POD_UID, parts, request, spec

ALLOWED = Settings({"security.allow": [a.SELINUX, a.APPARMOR, a.CGROUP]})


def test_every_kind_of_edit_has_its_row() -> None:
    assert ENCODE.keys() == {*KINDS}


def test_container_has_what_the_request_shows() -> None:
    given = spec("/sbin/init", "--x", env=["A=b"], annotations={"io.systemd.container.tmpfs": "none", "other": "x"})
    given["linux"] |= {"devices": [{"path": "/dev/tty1"}], "resources": {"unified": {"memory.high": "1"}}}
    given["process"]["user"]["uid"] = 7
    found = container(parts(request(given)), selinux=False)
    assert (found.id, found.name, found.pod_uid, found.uid, found.pod) == (ID, "main", POD_UID, 7, "default/pod")
    assert (found.args, found.env, found.devices) == (("/sbin/init", "--x"), ("A=b",), ("/dev/tty1",))
    assert found.annotations.items() >= given["annotations"].items()
    assert found.unified == {"memory.high": "1"}
    assert found.has_private("pid")
    assert {mount.destination for mount in found.mounts} == {mount["destination"] for mount in given["mounts"]}


FOREIGN = {
    "a sandbox's kind": ({"io.kubernetes.cri.container-type": "sandbox"}, False),
    "another pod's UID": ({"io.kubernetes.pod.uid": "00000000-0000-0000-0000-000000000000"}, False),
    "the record": ({ADJUSTED: "0.0.1"}, False),
    "ours": ({a.TMPFS: "none"}, True),
    "ours, of one container": ({f"{a.WANTED}/main": "true"}, True),
    "an old stop signal": ({"io.kubernetes.cri-o.StopSignal": "SIGINT"}, True),
}


@pytest.mark.parametrize(("annotations", "counts"), FOREIGN.values(), ids=FOREIGN)
def test_a_pods_annotations_count_where_they_speak_to_us(annotations: dict[str, str], counts: bool) -> None:
    """As with the wrapper, whose handler passes no others."""
    given = request(spec())
    given.pod.annotations.update(annotations)
    assert (annotations.items() <= container(parts(given), selinux=False).annotations.items()) is counts


def test_a_containers_own_annotation_wins_over_its_pods() -> None:
    given = request(spec())
    given.pod.annotations[a.WANTED] = "true"
    given.container.annotations[a.WANTED] = "false"
    assert container(parts(given), selinux=False).annotations[a.WANTED] == "false"


# What NRI cannot do, and the message about it.
BEYOND: dict[str, tuple[dict[str, Any], str]] = {
    "an AppArmor profile": ({"annotations": {a.APPARMOR: "mine"}}, "AppArmor profile mine"),
    "remove the AppArmor profile": ({"annotations": {a.APPARMOR: "unconfined"}}, "remove the AppArmor profile"),
    "an SELinux type": ({"annotations": {a.SELINUX: "spc_t"}}, "SELinux label system_u:system_r:spc_t:s0"),
    "the SELinux type for systemd": ({}, "SELinux label system_u:system_r:container_init_t:s0"),
    "a console": ({"devices": [{"path": "/dev/tty7"}]}, "remove device /dev/tty7"),
    "a variable that stands there twice": (
        {"env": ["container=a", "container="]},
        "container: set several times",
    ),
}


@pytest.mark.parametrize(("given", "words"), BEYOND.values(), ids=BEYOND)
def test_what_nri_cannot_carry_is_told_for_the_container_that_would_have_had_it(
    given: dict[str, Any], words: str
) -> None:
    whole = spec(annotations=given.get("annotations"), env=given.get("env", ()))
    whole["linux"]["devices"] = given.get("devices", [])
    asked = Asked(ALLOWED, selinux=True)
    assert asked.create(request(whole)) is not None
    assert any(words in warning for warning in asked.last.warnings), asked.last.warnings
    assert asked.last.level == "warning"


ASKS = {a.CONSOLE: "journal", a.ENVIRONMENT: "services"}


def test_arguments_are_sent_as_a_whole_list() -> None:
    given = request(spec("/sbin/init", "--x", annotations={a.ENVIRONMENT: "A"}, env=["A=b"]))
    asked = Asked()
    assert [*asked.create(given).args] == ["/sbin/init", "--x", "systemd.setenv=A=b"]
    assert [*Asked().create(request(spec("/sbin/init", "--x"))).args] == []


def test_arguments_that_the_runtime_would_ignore_are_reported_and_not_sent() -> None:
    given = request(spec(annotations=ASKS, env=["A=s3cret", "TERM=xterm"]))
    asked = Asked(takes_args=False)
    assert [*asked.create(given).args] == []
    told = [each for each in asked.last.warnings if "new arguments: unsupported by" in each]
    assert len(told) == 1
    assert "systemd.journald.forward_to_console=1" in told[0] and "systemd.setenv=A=…" in told[0]
    assert "s3cret" not in str(asked.last.fields(0))


@pytest.mark.parametrize(("env", "terminal"), [((), False), (("TERM=xterm",), None), (("TERMINAL=x",), False)])
def test_a_terminal_is_known_by_what_engines_give_with_it(env: tuple[str, ...], terminal: bool | None) -> None:
    assert container(parts(request(spec(env=env))), selinux=False).terminal is terminal


SILENT = {
    "a host that labels nothing": (spec(), False, "SELinux"),
    "a privileged container": (
        spec()
        | {"linux": {"namespaces": [{"type": "pid"}]}, "mounts": [{"destination": "/sys/fs/cgroup", "type": "cgroup"}]},
        True,
        "SELinux",
    ),
    "a container's stop signal, which is right or not": (spec(), False, "SIGTERM"),
}


@pytest.mark.parametrize(("given", "selinux", "word"), SILENT.values(), ids=SILENT)
def test_nothing_is_told_of_what_is_not_missed(given: dict[str, Any], selinux: bool, word: str) -> None:
    asked = Asked(selinux=selinux)
    assert asked.create(request(given)) is not None
    assert not any(word in warning for warning in asked.last.warnings), asked.last.warnings


def test_an_annotation_of_ours_is_gated_as_anywhere() -> None:
    with pytest.raises(AssertionError, match=r"security\.allow"):
        Asked().create(request(spec(annotations={a.APPARMOR: "unconfined"})))


def test_a_signal_that_only_the_pod_names_is_recorded() -> None:
    given = spec(annotations={STOP_SIGNAL: "SIGRTMIN+3"})
    assert Asked().create(request(given)).annotations[STOP_SIGNAL] == "SIGRTMIN+3"


def test_a_mount_is_replaced_by_its_own_spelling() -> None:
    given = spec()
    given["mounts"][3] = given["mounts"][3] | {"destination": "/sys/fs//cgroup/"}
    result = merged(given, Asked().create(request(given)))
    assert [each["options"] for each in result["mounts"] if "cgroup" in each["destination"]] == [
        ["nosuid", "relatime", "rw"]
    ]


TWICE = spec(mounts=[spec()["mounts"][3]])


def test_a_mount_of_which_there_are_two_is_left_alone() -> None:
    asked = Asked()
    assert asked.create(request(TWICE)) is None
    assert "several mounts at /sys/fs/cgroup" in asked.last.reason


@pytest.mark.parametrize(
    ("command", "annotations"),
    [("/sbin/init", {a.WANTED: "true"}), ("/bin/sh", {a.WANTED: "true"}), ("/bin/sh", {a.CGROUP: "rw"})],
    ids=["systemd", "an entrypoint", "the cgroup alone"],
)
def test_who_asks_for_it_is_told(command: str, annotations: dict[str, str]) -> None:
    given = spec(command, mounts=[spec()["mounts"][3]], annotations=annotations)
    with pytest.raises(AssertionError, match="several mounts at /sys/fs/cgroup"):
        Asked().create(request(given))


OWN_LABELS = {
    b"system_u:system_r:spc_t:s0\0": True,
    b"system_u:system_r:spc_t:s0:c1,c2\0": True,
    b"a:b:c": True,
    b"unconfined\n": False,
    b"cri-containerd.apparmor.d (enforce)\n": False,
    b":root//sub:profile (enforce)\n": False,
    b"": False,
}


@pytest.mark.parametrize(("label", "has"), OWN_LABELS.items())
def test_selinux_is_seen_in_a_pod(label: bytes, has: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(node, "SELINUX", tmp_path / "enforce")
    monkeypatch.setattr(node, "OWN_LABEL", tmp_path / "current")
    assert node.has_selinux() is False
    (tmp_path / "current").write_bytes(label)
    assert node.has_selinux() is has
    (tmp_path / "enforce").touch()
    assert node.has_selinux() is True
