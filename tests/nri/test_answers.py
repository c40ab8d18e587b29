"""A remembered answer equals a new one, and the memory for them is bounded."""

from __future__ import annotations

import copy
from typing import Any

import pytest
from hypothesis import assume, given

from oci_systemd.core import annotations as a
from oci_systemd.core.host import Host
from oci_systemd.core.settings import Settings
from oci_systemd.core.signals import STOP_SIGNAL
from oci_systemd.host.log import Entry
from oci_systemd.nri import answers, convert
from oci_systemd.nri.node import Node
from tests.laws.strategies import World, relatives, worlds
from tests.nri.calls import Asked
from tests.nri.requests import ID, POD_UID, request, spec
from tests.nri.test_parity import is_text

OTHER_ID = "ab" * 32


def answered(asked: Asked, message: Any) -> tuple[Any, Any]:
    """The answer, an adjustment or a sentence, and its log lines."""
    try:
        answer: Any = asked.create(message)
    except AssertionError as failure:
        answer = str(failure)
    return answer, told(asked.last)


def told(entry: Entry) -> Any:
    fields = entry.fields(0.0)
    return {key: value for key, value in fields.items() if key != "duration_ms"}


def same_after(first: Any, second: Any, *, settings: Settings | None = None, host: Host | None = None) -> bool:
    """Check that `second` gets the same answer after `first` as alone. Return whether it was a remembered one."""
    one, other = (Asked(settings, host) for _ in range(2))
    answered(one, first)
    before = known(one)
    assert answered(one, second) == answered(other, second)
    return bool(before) and known(one) == before


def known(asked: Asked) -> int:
    return len(asked.plugin._answers._known)


@given(relatives(), worlds, worlds)
def test_an_answer_after_another_is_the_one_that_it_is_alone(
    pair: tuple[dict[str, Any], dict[str, Any]], world: World, other: World
) -> None:
    assume(all(map(is_text, [*pair, world.id, other.id])))
    same_after(request(pair[0], world.id), request(pair[1], other.id), settings=world.chosen(), host=world.host())


def changed(**fields: Any) -> Any:
    return request(spec(), **fields)


def of_another_pod() -> Any:
    given = spec(env=["HOSTNAME=another", "PATH=/bin"])
    given["mounts"] = [each | {"source": "/another"} if each["type"] == "bind" else each for each in given["mounts"]]
    given["linux"]["namespaces"].append({"type": "network", "path": "/proc/7/ns/net"})
    message = request(given, OTHER_ID, "main", POD_UID.replace("8", "9"))
    message.pod.id, message.pod.name = "another", "pod-2"
    message.container.annotations["io.kubernetes.cri.sandbox-id"] = "another"
    return message


ALIKE = {
    "the same again": request(spec()),
    "another container": changed(id=OTHER_ID),
    "of another name": changed(id=OTHER_ID, name="side"),
    "of another pod": of_another_pod(),
}


@pytest.mark.parametrize("second", ALIKE.values(), ids=ALIKE)
@pytest.mark.parametrize("source", ["container", "pod"])
def test_containers_of_one_workload_share_an_answer(second: Any, source: str) -> None:
    assert same_after(request(spec()), second, settings=Settings({"machine_id.source": source}))


@pytest.mark.parametrize("second", ALIKE.values(), ids=ALIKE)
def test_ones_that_nobody_wants_share_theirs(second: Any) -> None:
    first, second = request(spec("/bin/sh")), copy.deepcopy(second)
    second.container.args[:] = ["/bin/sh"]
    assert same_after(first, second)


def with_spelling() -> Any:
    given = copy.deepcopy(spec())
    given["mounts"][3]["destination"] = "/sys/fs//cgroup"
    return request(given)


def with_own_signal() -> Any:
    given = request(spec(annotations={STOP_SIGNAL: "SIGRTMIN+3"}))
    given.container.annotations[STOP_SIGNAL] = given.pod.annotations.pop(STOP_SIGNAL)
    return given


DIFFERENT = {
    "what a variable for services says": (
        request(spec(annotations={a.ENVIRONMENT: "A"}, env=["A=1"])),
        request(spec(annotations={a.ENVIRONMENT: "A"}, env=["A=2"])),
    ),
    "a mount that is spelled otherwise": (request(spec()), with_spelling()),
    "a source that is given back": (
        request(spec()),
        request(spec() | {"mounts": [each | {"source": "other"} for each in spec()["mounts"]]}),
    ),
    "whose annotation the stop signal is": (
        request(spec(annotations={STOP_SIGNAL: "SIGRTMIN+3"})),
        with_own_signal(),
    ),
    "an annotation": (request(spec()), request(spec(annotations={a.TMPFS: "none"}))),
    "a command": (request(spec()), request(spec("/bin/sh"))),
}


@pytest.mark.parametrize(("first", "second"), DIFFERENT.values(), ids=DIFFERENT)
def test_what_is_answered_otherwise_shares_none(first: Any, second: Any) -> None:
    assert not same_after(first, second)


def test_a_fresh_machine_id_changes_nothing_of_what_is_remembered() -> None:
    asked = Asked()
    ids = [{each.key: each.value for each in asked.create(changed(id=id)).env} for id in (ID, OTHER_ID, ID)]
    assert [each["container_uuid"] for each in ids] == [ID[:32], OTHER_ID[:32], ID[:32]]


def test_a_refusal_is_worked_out_each_time() -> None:
    asked = Asked(host=Host(cgroup_v2=False))
    asking = request(spec(annotations={a.WANTED: "true"}))
    for _ in range(2):
        assert "not cgroup v2" in str(answered(asked, asking)[0])
    assert (known(asked), asked.plugin.counts.refused) == (0, 2)


NODES = {
    "the same": (Node(Settings(), Host(), False), True),
    "other settings": (Node(Settings({"tmpfs.paths": ["/run"]}), Host(), False), False),
    "another host": (Node(Settings(), Host(nsdelegate=False), False), False),
    "SELinux": (Node(Settings(), Host(), True), False),
}


@pytest.mark.parametrize(("node", "kept"), NODES.values(), ids=NODES)
def test_a_node_that_changed_answers_anew(node: Node, kept: bool) -> None:
    asked = Asked()
    asked.create(request(spec()))
    asked.plugin.see(node)
    assert known(asked) == kept
    expected = Asked(node.settings, node.host, selinux=node.selinux).create(request(spec()))
    assert asked.create(request(spec())) == expected


def test_what_is_remembered_is_bounded() -> None:
    asked = Asked()
    for number in range(answers.MOST * 2 + 1):
        asked.create(request(spec("/bin/sh", str(number))))
        assert known(asked) <= answers.MOST


def test_a_request_without_measure_is_not_remembered() -> None:
    asked = Asked()
    asked.create(request(spec("/bin/sh")))
    long = "/" + "x" * convert.LONGEST_KEPT
    whole = spec("/sbin/init", "x" * answers.LONGEST, mounts=[{"destination": long}])
    whole["linux"]["devices"] = [{"path": long}]
    whole["linux"]["namespaces"] += [{"type": "network", "path": long}]
    caches = (convert._mount, convert._alike, convert._namespace, convert._device)
    kept = [cache.cache_info().currsize for cache in caches]
    assert asked.create(request(whole)) is not None
    assert known(asked) == 1
    assert [cache.cache_info().currsize for cache in caches] == kept


@pytest.mark.parametrize("letter", ["x", "\x01", "\U0001f600"], ids=["plain", "unprintable", "wide"])
@pytest.mark.parametrize("type", ["pid", "mount"])
def test_no_name_is_told_without_measure(letter: str, type: str) -> None:
    given = spec("/" + letter * 10_000 + "/systemd")
    given["linux"]["namespaces"] = [{"type": "cgroup"}, {"type": type, "path": "" if type == "pid" else "/x"}]
    entry = answered(Asked(), request(given))[1]
    assert len(str(entry)) < 3000
