"""What adjusting may do to a spec, whatever the spec, the settings, the host and the root file system are."""

from __future__ import annotations

import copy
import json
from typing import Any

from hypothesis import event, given

from oci_systemd.core import annotations as a
from oci_systemd.core import edits as e
from oci_systemd.core import machine_id, signals
from oci_systemd.core.adjust import Adjustment, adjust, questions
from oci_systemd.core.apply import APPLY, apply
from oci_systemd.core.command_line import setenvs
from oci_systemd.core.container import Container, from_spec, is_bind
from oci_systemd.core.errors import Problem
from oci_systemd.core.paths import clean
from oci_systemd.core.rules import AFTER, CGROUP_PLACE, KILL_SIGNAL, NEW_CGROUP, OOM_GROUP
from oci_systemd.core.signals import ADJUSTED, STOP_SIGNAL
from tests.laws.strategies import World, broken_specs, json_values, specs, worlds

CONSOLES = {f"/dev/tty{number}" for number in range(64)}


def decide(spec: Any, world: World) -> tuple[Container, Adjustment]:
    container = from_spec(spec, world.id)
    questions(container, world.chosen())
    return container, adjust(container, world.chosen(), world.host())


def adjusted(spec: Any, world: World) -> tuple[Container, Adjustment, Any] | None:
    """The container, its Adjustment and the new spec; None where it is refused."""
    try:
        container, adjustment = decide(spec, world)
    except Problem:
        event("refused")
        return None
    event("wanted" if adjustment.verdict.wanted else "edits alone" if adjustment.edits else "left alone")
    return container, adjustment, apply(spec, adjustment.edits)


def own_value(spec: Any, key: str) -> str | None:
    """What annotation `key`, or `key/NAME`, says."""
    annotations = spec.get("annotations") or {}
    names = (annotations.get(name) for name in ("io.kubernetes.cri.container-name", "io.kubernetes.container.name"))
    name = next((name for name in names if name), None)
    value = annotations.get(f"{key}/{name}") if name else None
    value = annotations.get(key) if value is None else value
    return None if value is None else str(value)


@given(broken_specs() | json_values, worlds)
def test_any_value_gives_an_adjustment_or_a_problem(spec: Any, world: World) -> None:
    try:
        _, adjustment = decide(spec, world)
    except Problem as problem:
        assert problem.sentences
        assert all("\n" not in sentence for sentence in problem.sentences)
        return
    apply(spec, adjustment.edits)
    assert "\n" not in "".join(map(str, adjustment.warnings))


@given(specs(), worlds)
def test_the_input_is_never_modified(spec: Any, world: World) -> None:
    before = copy.deepcopy(spec)
    adjusted(spec, world)
    assert spec == before
    assert json.dumps(spec) == json.dumps(before)  # the order of keys, too


@given(specs(), worlds)
def test_adjusting_twice_changes_nothing(spec: Any, world: World) -> None:
    done = adjusted(spec, world)
    if done:
        again = decide(done[2], world)[1]
        assert [*map(str, again.edits)] == []
        assert again.verdict.wanted == done[1].verdict.wanted


@given(specs(), worlds)
def test_what_is_not_wanted_and_asks_for_nothing_has_no_edits(spec: Any, world: World) -> None:
    done = adjusted(spec, world)
    if done and not done[1].verdict.wanted and own_value(spec, a.CGROUP) != "rw":
        assert done[1].edits == []
        assert done[2] is spec


@given(specs(), worlds)
def test_what_is_not_wanted_gets_a_cgroup_and_its_limit_alone(spec: Any, world: World) -> None:
    done = adjusted(spec, world)
    if done and not done[1].verdict.wanted:
        assert {type(edit) for edit in done[1].edits} <= {e.SetMountOptions, e.SetUnified}


@given(specs(), worlds)
def test_a_sandbox_never_changes(spec: Any, world: World) -> None:
    spec["annotations"] = {**(spec.get("annotations") or {}), "io.kubernetes.cri.container-type": "sandbox"}
    done = adjusted(spec, world)
    assert not done or done[1].edits == []


@given(specs(), worlds)
def test_given_mounts_keep_their_order_and_their_fields(spec: Any, world: World) -> None:
    done = adjusted(spec, world)
    if not done:
        return
    _, adjustment, new = done
    given, mounts = spec.get("mounts") or [], new.get("mounts") or []
    places: list[int | None] = [*range(len(given))]  # which given one stands where, None for one of ours
    for edit in adjustment.edits:
        if isinstance(edit, e.AddMount):
            places.insert(edit.index, None)
        if isinstance(edit, e.RemoveMount):
            index = places.pop(edit.index)
            assert index is not None
            removed = given[index]
            assert clean(removed["destination"]) == CGROUP_PLACE  # an image's volume, and nothing else
            assert is_bind(removed.get("type", ""), removed.get("options") or [])
    assert len(places) == len(mounts)
    for index, now in zip(places, mounts, strict=True):
        if index is None:
            assert (now["type"], now["source"]) == ("tmpfs", "tmpfs") or is_new_cgroup(now)
        else:
            assert given[index] is now or {**given[index], "options": None} == {**now, "options": None}


@given(specs(), worlds)
def test_only_a_cgroup_of_its_own_becomes_writable(spec: Any, world: World) -> None:
    done = adjusted(spec, world)
    if not done:
        return
    before = {id(mount): mount for mount in spec.get("mounts") or []}
    changed = [mount for mount in done[2].get("mounts") or [] if id(mount) not in before and mount["type"] != "tmpfs"]
    for mount in changed:
        assert mount["type"] in ("cgroup", "cgroup2")
        assert is_new_cgroup(mount) or any(is_the_same_writable(mount, old) for old in before.values())
        assert world.cgroup_v2
        assert world.nsdelegate or world.settings.get("cgroup.require_nsdelegate") is False
        listed = [entry for entry in spec["linux"]["namespaces"] if entry.get("type") == "cgroup"]
        assert listed
        assert not listed[-1].get("path")


def is_new_cgroup(mount: Any) -> bool:
    """Whether a mount is the one that takes the place of an image's volume."""
    wanted = {"destination": CGROUP_PLACE, "type": "cgroup", "source": "cgroup", "options": [*NEW_CGROUP.options]}
    return bool(mount == wanted)


def is_the_same_writable(mount: Any, old: Any) -> bool:
    """Whether `mount` is `old`, no bind mount, with rw for each ro."""
    options = old.get("options") or []
    writable = ["rw" if option in ("ro", "rro") else option for option in options]
    return {**old, "options": writable} == mount and not is_bind(old.get("type", ""), options)


@given(specs(), worlds)
def test_the_environment_has_each_variable_once(spec: Any, world: World) -> None:
    done = adjusted(spec, world)
    if not done or not done[1].verdict.wanted:
        return
    before, after = spec["process"].get("env") or [], done[2]["process"]["env"]
    own = [entry for entry in before if entry.startswith("container=") and entry != "container="]
    assert [entry for entry in after if entry.startswith("container=")] == [
        own[-1] if own else f"container={world.chosen().text('env.container')}"
    ]
    given = [entry for entry in before if entry.startswith("container_uuid=")]
    found = [entry for entry in after if entry.startswith("container_uuid=")]
    ours = ("container=", "container_uuid=", "CREDENTIALS_DIRECTORY=", "TERM=")
    assert [entry for entry in after if not entry.startswith(ours)] == [
        entry for entry in before if not entry.startswith(ours)
    ]
    if given:
        assert found == given[-1:]
    elif world.id:
        assert len(found) == 1
        value = found[0].partition("=")[2]
        assert machine_id.parse(value) == value
        assert value != "0" * 32
        assert len(value) == 32
    else:
        assert len(found) <= 1


def values(spec: Any, name: str) -> list[str]:
    """What the variables of this name say."""
    env = (spec.get("process") or {}).get("env") or []
    return [entry.partition("=")[2] for entry in env if entry.startswith(f"{name}=")]


@given(specs(), worlds)
def test_credentials_and_terminal_are_set_for_a_reason(spec: Any, world: World) -> None:
    done = adjusted(spec, world)
    if not done:
        return
    before, after = (values(each, "CREDENTIALS_DIRECTORY") for each in (spec, done[2]))
    assert after == before or (not any(before) and after == ["/run/credentials/@system"])
    before, after = (values(each, "TERM") for each in (spec, done[2]))
    asked = own_value(spec, a.CONSOLE) == "journal" and spec["process"].get("terminal") is True
    assert after == before or (asked and before[-1:] in ([], ["xterm"]) and after == ["dumb"])


@given(specs(), worlds)
def test_arguments_are_appended_where_an_annotation_asks(spec: Any, world: World) -> None:
    done = adjusted(spec, world)
    if not done:
        return
    before, after = spec["process"].get("args") or [], done[2]["process"].get("args") or []
    assert after[: len(before)] == before
    added = after[len(before) :]
    console = own_value(spec, a.CONSOLE) == "journal" and done[1].verdict.wanted
    variables = own_value(spec, a.ENVIRONMENT) is not None and done[1].verdict.wanted
    assert console or not any("forward_to_console" in each for each in added)
    assert variables or not any("systemd.setenv" in each for each in added)
    assert console or variables or not added
    given = {name: values(spec, name)[-1] for name in ("A", "BC", "B2", "C") if values(spec, name)}
    found = setenvs(after)
    assert all(
        found[name] == value for name, value in given.items() if any(f"{name}={value}" in each for each in added)
    )


@given(specs(), worlds)
def test_the_stop_signal_can_always_be_read(spec: Any, world: World) -> None:
    done = adjusted(spec, world)
    if done and done[1].verdict.wanted:
        value = done[2]["annotations"][STOP_SIGNAL]
        assert value.lower() == "none" or signals.number(value) is not None


@given(specs(), worlds)
def test_the_hosts_own_stop_is_by_the_stop_signal_or_as_it_was(spec: Any, world: World) -> None:
    done = adjusted(spec, world)
    if not done:
        return
    before, after = ((each.get("annotations") or {}).get(KILL_SIGNAL) for each in (spec, done[2]))
    if before != after:
        assert done[1].verdict.wanted
        assert not before or signals.number(before) == signals.TERM
        assert after == str(signals.number(done[2]["annotations"][STOP_SIGNAL]))
        assert spec["linux"]["cgroupsPath"].count(":") == 2


@given(specs(), worlds)
def test_an_oom_group_is_only_ever_taken_apart(spec: Any, world: World) -> None:
    done = adjusted(spec, world)
    if not done:
        return
    before, after = (
        (((each.get("linux") or {}).get("resources") or {}).get("unified") or {}).get(OOM_GROUP)
        for each in (spec, done[2])
    )
    if before != after:
        assert (str(before).strip(), after) == ("1", "0")
        assert done[1].verdict.wanted
        assert not world.chosen().flag("cgroup.oom_group")


@given(specs(), worlds)
def test_nothing_else_changes(spec: Any, world: World) -> None:
    done = adjusted(spec, world)
    if done:
        assert _rest(done[2]) == _rest(spec)
        assert [*done[2]][: len(spec)] == [*spec]


def _rest(spec: Any) -> Any:
    """The spec without the contract's changes; an empty member counts as missing."""
    spec = copy.deepcopy(spec)
    process, linux = spec.get("process") or {}, spec.get("linux") or {}
    spec.pop("mounts", None)
    for key in ("env", "selinuxLabel", "apparmorProfile"):
        process.pop(key, None)
    for key in (STOP_SIGNAL, ADJUSTED, KILL_SIGNAL, AFTER):
        (spec.get("annotations") or {}).pop(key, None)
    for key in ("cgroup.max.descendants", OOM_GROUP):
        ((linux.get("resources") or {}).get("unified") or {}).pop(key, None)
    linux["devices"] = [device for device in linux.get("devices") or [] if device.get("path") not in CONSOLES]
    return _pruned(spec)


def _pruned(value: Any) -> Any:
    if isinstance(value, dict):
        kept = {key: _pruned(item) for key, item in value.items()}
        return {key: item for key, item in kept.items() if item not in (None, {}, [])}
    return [_pruned(item) for item in value] if isinstance(value, list) else value


@given(specs(), worlds)
def test_labels_and_profiles_change_as_asked_alone(spec: Any, world: World) -> None:
    done = adjusted(spec, world)
    if not done:
        return
    old, new = spec.get("process") or {}, done[2].get("process") or {}
    if old.get("selinuxLabel") != new.get("selinuxLabel"):
        before, after = old["selinuxLabel"].split(":"), new["selinuxLabel"].split(":")
        assert before[:2] + before[3:] == after[:2] + after[3:]
        named = own_value(spec, a.SELINUX)
        assert after[2] == (named or "container_init_t")
        assert named or before[2] == "container_t"
        assert not named or a.SELINUX in world.settings["security.allow"]
    if old.get("apparmorProfile") != new.get("apparmorProfile"):
        named = own_value(spec, a.APPARMOR)
        assert named
        assert new.get("apparmorProfile", "unconfined") == named
        assert a.APPARMOR in world.settings["security.allow"]


@given(specs(), worlds)
def test_every_edit_says_what_and_why_on_one_line(spec: Any, world: World) -> None:
    done = adjusted(spec, world)
    if done:
        for edit in done[1].edits:
            assert edit.reason
            assert str(edit)


def test_each_kind_of_edit_can_be_applied() -> None:
    kinds = {value for value in vars(e).values() if isinstance(value, type) and issubclass(value, e.Edit)} - {e.Edit}
    assert set(e.KINDS) == kinds
    assert set(APPLY) == kinds
