"""What the plugin answers, call by call, without a connection."""

from __future__ import annotations

import traceback
from typing import Any

import pytest

from oci_systemd.core import annotations as a
from oci_systemd.core.errors import SettingsError
from oci_systemd.core.host import Host
from oci_systemd.core.settings import Settings
from oci_systemd.core.signals import ADJUSTED, STOP_SIGNAL
from oci_systemd.nri import answers
from oci_systemd.nri import plugin as module
from oci_systemd.nri.messages import MESSAGES, PARTS, whole
from oci_systemd.nri.node import Node
from oci_systemd.nri.plugin import FAILED_PRECONDITION, INTERNAL, STOPPED, TOLD, UNIMPLEMENTED
from tests.nri.calls import Asked
from tests.nri.merging import merged
from tests.nri.requests import ID, parts, request, spec

ASKS = {a.WANTED: "true"}
RUNNING = 3


def test_a_systemd_container_gets_what_it_needs() -> None:
    asked = Asked()
    result = merged(spec(), asked.create(request(spec())))
    mounts = {each["destination"]: each for each in result["mounts"]}
    assert "rw" in mounts["/sys/fs/cgroup"]["options"]
    assert {"/run", "/run/lock", "/tmp", "/var/log/journal"} <= mounts.keys()
    assert {"container=other", f"container_uuid={ID[:32]}"} <= {*result["process"]["env"]}
    assert result["linux"]["resources"]["unified"] == {"cgroup.max.descendants": "1000"}
    assert result["annotations"].keys() >= {ADJUSTED, STOP_SIGNAL}
    assert (asked.last.message, asked.last.container and asked.last.container.name) == ("adjusted", "main")


UNWANTED: dict[str, dict[str, Any]] = {
    "another command": spec("/bin/sh"),
    "opted out": spec(annotations={a.WANTED: "false"}),
    "of another container": spec("/entrypoint", annotations={f"{a.WANTED}/other": "true"}),
    "the host's cgroups": spec(mounts=[{"destination": "/sys/fs/cgroup", "type": "bind", "options": ["rbind", "ro"]}]),
    "the host's processes": spec() | {"linux": {"namespaces": [{"type": "cgroup"}]}},
    "a wrong value where nothing is wanted": spec("/bin/sh", annotations={a.TMPFS: "run"}),
}


@pytest.mark.parametrize("given", UNWANTED.values(), ids=UNWANTED)
def test_what_is_not_wanted_gets_nothing(given: dict[str, Any]) -> None:
    asked = Asked()
    assert asked.create(request(given)) is None
    assert (asked.plugin.counts.seen, asked.plugin.counts.adjusted) == (1, 0)


@pytest.mark.parametrize("given", UNWANTED.values(), ids=UNWANTED)
def test_what_is_not_wanted_never_fails(given: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    """With an invalid settings file, and with a fault of ours."""
    if given["process"]["args"] != ["/sbin/init"]:
        elsewhere = Asked(Settings(problem=SettingsError("line 7 is wrong")), Host(cgroup_v2=False))
        assert elsewhere.create(request(given)) is None
    monkeypatch.setattr(answers, "adjust", broken)
    asked = Asked()
    assert asked.create(request(given)) is None
    assert "internal error in oci-systemd" in asked.last.reason


def broken(*given: object) -> Any:
    raise RuntimeError("broken")


REFUSED = {
    "a wrong value": (spec(annotations={a.WANTED: "yes"}), Asked(), '"true", "false" or "auto"'),
    "no cgroup v2": (spec("/entrypoint", annotations=ASKS), Asked(host=Host(cgroup_v2=False)), "not cgroup v2"),
    "invalid settings": (spec(), Asked(Settings(problem=SettingsError("line 7 is wrong"))), "line 7 is wrong"),
    "a cgroup that nobody may have": (
        spec("/bin/sh", annotations={a.CGROUP: "rw"}),
        Asked(Settings({"security.allow": []})),
        "security.allow",
    ),
}


@pytest.mark.parametrize(("given", "asked", "words"), REFUSED.values(), ids=REFUSED)
def test_who_asks_in_vain_is_told(given: dict[str, Any], asked: Asked, words: str) -> None:
    before = asked.plugin.counts.refused
    response = asked.ask("CreateContainer", request(given))
    assert response.status.code == FAILED_PRECONDITION
    assert response.status.message.startswith("oci-systemd: ")
    assert words in response.status.message
    assert response.payload == b""
    assert asked.plugin.counts.refused == before + 1
    assert (asked.last.level, asked.last.message) == ("error", "refused")


@pytest.mark.parametrize("annotations", [ASKS, {f"{a.WANTED}/main": "true"}, {a.CGROUP: "rw"}], ids=str)
@pytest.mark.parametrize("own", [False, True], ids=["the pod's", "its own"])
def test_who_asks_fails_where_we_do(annotations: dict[str, str], own: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(answers, "adjust", broken)
    given = request(spec("/entrypoint", annotations=annotations))
    if own:
        given.container.annotations.update(given.pod.annotations)
        given.pod.annotations.clear()
    assert Asked().ask("CreateContainer", given).status.code == INTERNAL


def test_a_refusal_leaves_nothing_behind() -> None:
    """The settings' error is one object, raised for each container: it would gather the frames of all of them."""
    asked = Asked(Settings(problem=SettingsError("line 7 is wrong")))
    lengths = []
    for _ in range(3):
        asked.ask("CreateContainer", request(spec()))
        asked.plugin.see(Node(Settings(problem=SettingsError("line 7 is wrong")), Host(), False))
        problem = asked.plugin._answers._node.settings.problem
        lengths.append(len([*traceback.walk_tb(problem.__traceback__ if problem else None)]))
    assert lengths[0] == lengths[-1] > 0


def test_a_pod_may_name_its_own_uid() -> None:
    """The reference plugin sets container_uuid twice then, and the container is not created."""
    given = spec(annotations={"io.kubernetes.pod.uid": "00000000-0000-4000-8000-000000000000"})
    found = request(given)
    found.pod.annotations["io.kubernetes.pod.uid"] = "00000000-0000-4000-8000-000000000000"
    keys = [each.key for each in Asked().create(found).env]
    assert keys == ["container", "container_uuid"]


@pytest.mark.parametrize("given", [spec(), spec(annotations=ASKS), spec(mounts=[{"destination": "/run/"}])], ids=len)
def test_no_key_and_no_place_stands_there_twice(given: dict[str, Any]) -> None:
    """A runtime takes that for a conflict of the plugin with itself."""
    adjustment = Asked().create(request(given))
    for keys in ([each.destination for each in adjustment.mounts], [each.key for each in adjustment.env]):
        assert len(keys) == len({*keys})


def test_what_was_adjusted_before_needs_nothing_more() -> None:
    once = request(merged(spec(), Asked().create(request(spec()))))
    once.container.annotations.update(once.pod.annotations)
    assert Asked().create(once) is None


@pytest.mark.parametrize("method", sorted(TOLD))
def test_what_is_only_told_is_taken(method: str) -> None:
    response = Asked().ask(method)
    assert (response.status.code, response.payload) == (0, b"")


@pytest.mark.parametrize(("service", "method"), [("x", "Configure"), (module.SERVICE, "Unheard")])
def test_what_is_not_known_is_unimplemented(service: str, method: str) -> None:
    assert Asked().ask(method, service=service).status.code == UNIMPLEMENTED


@pytest.mark.parametrize("data", [b"\xff", b"\x0a\x05abc", b""])
def test_a_call_that_is_none_is_an_error_of_its_own(data: bytes) -> None:
    response = MESSAGES["Response"].FromString(Asked().plugin.answer(data))
    assert response.status.code


GARBAGE = {
    "in all": b"\xff\xff",
    "in a mount": PARTS["CreateContainerRequest"](container={"args": ["/sbin/init"], "mounts": [b"\xff"]}),
    "in a namespace": PARTS["CreateContainerRequest"](container={"linux": {"namespaces": [b"\x0a\x01\xff"]}}),
}


@pytest.mark.parametrize("message", GARBAGE.values(), ids=GARBAGE)
def test_a_container_that_is_none_does_not_fail(message: Any) -> None:
    garbage = message if isinstance(message, bytes) else message.SerializeToString()
    asked = Asked()
    call = MESSAGES["Request"](service=module.SERVICE, method="CreateContainer", payload=garbage)
    response = MESSAGES["Response"].FromString(asked.plugin.answer(call.SerializeToString()))
    assert (response.status.code, response.payload) == (0, b"")
    asked.rest()
    assert "invalid CreateContainerRequest" in asked.last.reason


def test_verbose_shows_request_and_adjustment() -> None:
    asked = Asked()
    adjustment = asked.create(request(spec()))
    assert asked.shown == [("CreateContainerRequest", request(spec())), ("ContainerAdjustment", adjustment)]


def test_verbose_shows_what_is_none_as_it_came() -> None:
    """An invalid part breaks neither the answer nor the logged request."""
    asked = Asked()
    given = PARTS["CreateContainerRequest"](container={"mounts": [b"\xff"]})
    assert asked.create(given) is None
    assert whole(given) is given


# What ran before


def synchronize(asked: Asked, *containers: Any, more: bool = False) -> Any:
    message = MESSAGES["SynchronizeRequest"](
        pods=[request(spec()).pod], containers=[each.container for each in containers], more=more
    )
    return MESSAGES["SynchronizeResponse"].FromString(asked.ask("Synchronize", message).payload)


def running(given: dict[str, Any], id: str = ID, state: int = RUNNING) -> Any:
    found = request(given, id)
    found.container.state = state
    return found


MISSED: dict[str, tuple[Any, bool]] = {
    "systemd runs unmodified": (running(spec()), True),
    "systemd that was adjusted": (running(spec(annotations={"x": ""})), False),
    "systemd that has stopped": (running(spec(), state=STOPPED), False),
    "another": (running(spec("/bin/sh")), False),
}
MISSED["systemd that was adjusted"][0].container.annotations[ADJUSTED] = "0.1"


@pytest.mark.parametrize(("given", "missed"), MISSED.values(), ids=MISSED)
def test_what_was_created_in_absence_is_told_and_counted(given: Any, missed: bool) -> None:
    asked = Asked()
    assert not synchronize(asked, given).more
    assert asked.plugin.counts.missed == missed
    assert [entry.message for entry in asked.said] == ["missed"] * missed


def test_one_that_is_none_is_told_and_the_others_are_looked_at() -> None:
    asked = Asked()
    garbage = PARTS["Container"](id=ID, state=RUNNING, mounts=[b"\xff"])
    both = [garbage, parts(running(spec(), "b" * 64).container)]
    asked.ask("Synchronize", PARTS["SynchronizeRequest"](containers=both))
    assert [(entry.message, ID in entry.reason) for entry in asked.said] == [("left alone", True), ("missed", False)]


def test_a_fault_of_ours_is_told_and_the_others_are_looked_at(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = Asked()
    monkeypatch.setattr(module, "adjust", broken)
    synchronize(asked, running(spec()), running(spec(), "b" * 64))
    assert [entry.message for entry in asked.said] == ["left alone"] * 2


def test_what_was_told_is_known_where_the_connection_ends_before_all_were_looked_at() -> None:
    asked = Asked()
    many = [running(spec(), f"{number:064x}") for number in range(5)]
    message = MESSAGES["SynchronizeRequest"](containers=[each.container for each in many])
    call = MESSAGES["Request"](service=module.SERVICE, method="Synchronize", payload=message.SerializeToString())
    for _ in range(4):
        asked.plugin.answer(call.SerializeToString())
        for _ in range(3):
            asked.plugin.do_later()
        asked.plugin.end()
    assert asked.plugin.counts.missed == 3


def test_it_is_told_once() -> None:
    asked = Asked()
    for _ in range(2):
        synchronize(asked, running(spec()))
    assert len(asked.said) == 1


def test_what_comes_in_pieces_is_looked_at_whole() -> None:
    asked = Asked()
    assert synchronize(asked, running(spec(), "a" * 64), more=True).more
    assert asked.plugin.counts.missed == 0
    assert not synchronize(asked, running(spec(), "b" * 64)).more
    assert asked.plugin.counts.missed == 2


def test_one_that_would_be_refused_is_missed_too() -> None:
    asked = Asked()
    given = running(spec())
    given.container.annotations[a.WANTED] = "yes"
    synchronize(asked, given)
    assert "would have refused it" in asked.last.reason


def test_looking_at_many_can_wait() -> None:
    """Each piece of it is one container, so that a call between them is answered at once."""
    asked = Asked()
    many = [running(spec(), f"{number:064x}") for number in range(50)]
    message = MESSAGES["SynchronizeRequest"](containers=[each.container for each in many])
    call = MESSAGES["Request"](service=module.SERVICE, method="Synchronize", payload=message.SerializeToString())
    asked.plugin.answer(call.SerializeToString())
    for _ in range(10):
        asked.plugin.do_later()
    assert asked.plugin.counts.missed == 10
    asked.rest()
    assert asked.plugin.counts.missed == 50
