"""For every layout of a configuration file: removing an addition restores the bytes, an addition adds exactly the wanted
keys, and every failure is a Problem.
"""

from __future__ import annotations

import copy
import json
import tomllib
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from oci_systemd.core.errors import Problem
from oci_systemd.engines.engines import ENGINES
from oci_systemd.engines.record import path as record_path
from oci_systemd.engines.texts.text import pruned
from oci_systemd.engines.texts.toml import Toml
from oci_systemd.engines.wanted import Wanted
from tests.engines.build import LAUNCHER, RUNC, Node, daemon, text
from tests.laws import layout, toml

if TYPE_CHECKING:
    from collections.abc import Mapping

    from hypothesis.strategies import DrawFn

    from oci_systemd.engines.plan import Edit

MAIN = "/etc/containerd/config.toml"
DAEMON = "/etc/docker/daemon.json"
VERSIONS = st.sampled_from(["", "1.7.24", "2.1.9"])
OWN_FILES = {
    "crio": "/etc/crio/crio.conf.d/50-oci-systemd.conf",
    "podman": "/etc/containers/containers.conf.d/50-oci-systemd.conf",
}


def same(value: object) -> str:
    """What a value is, for comparison: not-a-number is itself, and an order says nothing."""
    return json.dumps(value, sort_keys=True, default=repr)


def with_edits(value: dict[str, Any], edits: list[Edit], file: str) -> dict[str, Any]:
    """`value` with the wanted keys set."""
    new = copy.deepcopy(value)
    for edit in edits:
        if edit.file != file:
            continue
        place = new
        for key in edit.at[:-1]:
            place[key] = {} if place.get(key) is None else place[key]
            place = place[key]
        there, wanted = place.get(edit.at[-1]), edit.value
        if isinstance(wanted, dict) and isinstance(there, dict):
            place[edit.at[-1]] = lacking(there, wanted)
        elif isinstance(wanted, list) and isinstance(there, list):
            place[edit.at[-1]] = [*there, *(each for each in wanted if each not in there)]
        elif there is None or edit.firm:
            place[edit.at[-1]] = wanted
    return new


def lacking(there: dict[str, Any], wanted: Mapping[str, Any]) -> dict[str, Any]:
    new = dict(there)
    for key, value in wanted.items():
        both = isinstance(value, dict) and isinstance(there.get(key), dict)
        new[key] = lacking(there[key], value) if both else there.get(key, value)
    return new


def check(node: Node, *, default: bool) -> None:
    """The laws of one install and its uninstall, on whatever files."""
    before = dict(node.files)
    wanted = Wanted("systemd", LAUNCHER, RUNC, default)
    try:
        edits = ENGINES[node.engine].edits(node, node.main, wanted, node.version)
        node.install(default=default)
    except Problem:
        assert node.files == before
        return
    for file in {edit.file for edit in edits} & {*node.files}:
        old = before.get(file, "")
        old = old.removeprefix("\ufeff")
        said = (daemon(old) if old.strip() else {}) if node.engine == "docker" else tomllib.loads(old)
        assert same(pruned(node.value(file))) == same(pruned(with_edits(said, edits, file)))
    again = node.install(default=default)
    assert (again.changes, again.kept) == ([], [])
    assert node.uninstall().kept == []
    assert node.files == before


@given(toml.texts(toml.containerd()), st.booleans(), VERSIONS)
@example("version = 2\n[plugins]\n# c\n[t]\n", True, "")
@example("\ufeffversion = 2\r\n[plugins]", True, "1.7.24")
def test_containerd(given: str, default: bool, version: str) -> None:
    check(Node("containerd", {MAIN: given}, version=version), default=default)


@given(toml.texts(), st.sampled_from(sorted(OWN_FILES)), st.booleans())
def test_a_drop_in_of_ours_that_is_somebody_s_as_well(given: str, engine: str, default: bool) -> None:
    check(Node(engine, {OWN_FILES[engine]: given}), default=default)


@st.composite
def daemons(draw: DrawFn) -> str:
    """A daemon.json in any layout."""
    document = draw(layout.documents)
    members = dict(document.members or ())
    runtime = layout.Node(members=[('"path"', layout.Node('"/x"'))])
    for key, values in {
        '"runtimes"': [layout.Node(members=[]), layout.Node(members=[('"kata"', runtime), ('"a\\u0062"', runtime)])],
        '"default-runtime"': [layout.Node('"runc"'), layout.Node('"k\\u0061ta"'), layout.Node("null")],
    }.items():
        if draw(st.booleans()):
            members[key] = draw(st.sampled_from(values))
    document.members = draw(st.permutations(list(members.items())))
    return layout.Written(draw, document).text


@given(daemons(), st.booleans())
@example("", True)
@example(" \n", False)
@example('{"default-runtime": null}', True)
@example('\ufeff{"runtimes": null}', True)
def test_docker(given: str, default: bool) -> None:
    check(Node("docker", {DAEMON: given}), default=default)


values = st.recursive(
    st.one_of(st.booleans(), st.integers(-9, 9), st.sampled_from(["", "a", 'q"\\', "\u00e4\n", "[t]"])),
    lambda inner: st.one_of(
        st.lists(inner, max_size=3),
        st.dictionaries(st.sampled_from(["a", "b", "k l", ""]), inner, min_size=1, max_size=2),
    ),
    max_leaves=4,
)
places = st.lists(st.sampled_from(["a", "b", "x-1", "3", "q w", "l.m", "\u00e4", "new"]), min_size=1, max_size=4).map(
    tuple
)


@given(toml.texts(), places, values)
def test_toml_is_set_and_removed_by_what_it_says(given: str, at: tuple[str, ...], value: Any) -> None:
    changed = Toml("x", given)
    try:
        changed.set(at, value)
        assert same(pruned(tomllib.loads(changed.text()))) == same(pruned(changed.value))
        assert same(changed.get(at)) == same(value)
        changed.remove(at)
    except Problem:
        return
    assert same(pruned(tomllib.loads(changed.text()))) == same(pruned(changed.value))
    assert changed.get(at) is None


# Hostile texts


@st.composite
def mangled(draw: DrawFn, whole: str) -> str:
    """A text with pieces taken out, put in and doubled."""
    for _ in range(draw(st.integers(1, 3))):
        start = draw(st.integers(0, len(whole)))
        end = draw(st.integers(start, min(start + 40, len(whole))))
        put = draw(
            st.one_of(
                st.sampled_from(
                    ['"', "[", "]", "{", "}", "\n", "=", "#", ",", "'''", "\x00", "\ufeff", "\r", "\u2028", "9" * 5000]
                ),
                st.text(max_size=5),
            )
        )
        whole = draw(
            st.sampled_from(
                [whole[:start] + whole[end:], whole[:start] + put + whole[end:], whole[:end] + whole[start:]]
            )
        )
    return whole


TEXTS = [text(name) for name in ("by-hand.toml", "containerd-debian.toml", "nvidia-2.toml", "k3s-1.35.toml")]


@given(st.sampled_from(TEXTS).flatmap(mangled), st.booleans(), VERSIONS)
def test_mangled_toml_is_done_or_refused(given: str, default: bool, version: str) -> None:
    check(Node("containerd", {MAIN: given}, version=version), default=default)


@given(daemons().flatmap(mangled), st.booleans())
@example(f'{{"a": {"9" * 5001}}}', True)
def test_mangled_json_is_done_or_refused(given: str, default: bool) -> None:
    check(Node("docker", {DAEMON: given}), default=default)


@given(mangled('{{ template "base" . }}\n\n# oci-systemd: begin\n[t.ours]\n  x = 1\n# oci-systemd: end\n# mine\n'))
def test_mangled_template_is_done_or_refused(given: str) -> None:
    folder = "/var/lib/rancher/k3s/agent/etc/containerd"
    files = {f"{folder}/config.toml": text("k3s-1.30.toml"), f"{folder}/config.toml.tmpl": given}
    node = Node("containerd", files, f"{folder}/config.toml")
    try:
        node.install()
        assert not node.install().concerns_engine
        node.uninstall()
    except Problem:
        return
    left = node.files.get(f"{folder}/config.toml.tmpl", "")
    assert left.strip() == given.strip() or "oci-systemd" in given


def recorded(engine: str) -> tuple[dict[str, str], str]:
    files = {MAIN: text("containerd-1.7.toml")} if engine == "containerd" else {DAEMON: '{"debug": true}'}
    node = Node(engine, files)
    node.install(default=True)
    return node.others, node.files[node.own]


RECORDED = {engine: recorded(engine) for engine in ("containerd", "docker")}


@pytest.mark.parametrize("engine", RECORDED)
@given(data=st.data())
def test_mangled_record_is_used_or_refused(engine: str, data: st.DataObject) -> None:
    files, record = RECORDED[engine]
    node = Node(engine, {**files, record_path(engine): data.draw(mangled(record))})
    for act in data.draw(st.permutations([node.install, node.uninstall])):
        before = dict(node.files)
        try:
            act()
        except Problem:
            assert node.files == before


@given(st.sampled_from(sorted(RECORDED)), st.data())
def test_record_with_other_values_is_used_or_refused(engine: str, data: st.DataObject) -> None:
    files, record = RECORDED[engine]
    value = json.loads(record)
    entry = data.draw(st.sampled_from(value["entries"]))
    key = data.draw(st.sampled_from(["at", "was", "now", "made", "handlers"]))
    other = {
        "at": places.map(list) | st.just([]),
        "was": st.one_of(st.none(), st.sampled_from(["[", "1", '"x"', "[1]", "{a=1}", '{"a": 1}', "null", "\x00"])),
        "now": layout.fresh,
        "made": st.integers(-3, 99),
        "handlers": st.lists(st.sampled_from(["systemd", "x"]), max_size=2),
    }[key]
    entry[key] = data.draw(other)
    node = Node(engine, {**files, record_path(engine): json.dumps(value)})
    for act in data.draw(st.permutations([node.install, node.uninstall])):
        before = dict(node.files)
        try:
            act()
        except Problem:
            assert node.files == before


# Several handlers, and somebody at work in between


STEPS = st.one_of(
    st.tuples(st.sampled_from("ab"), st.booleans()),
    st.tuples(st.just("not"), st.sampled_from("ab")),
    st.tuples(st.just("user"), st.integers(0, 3)),
)


def user_edit(kind: int, number: int, engine: str, given: str) -> str:
    """Somebody else's edit of a file, with or without our text."""
    if engine == "docker":
        if not given.strip():
            return f'{{"user{number}": 1}}'
        value = json.loads(given)
        head = "{" + f'"user{number}": [{kind}]' + (", " if value else "")
        return given.replace("{", head, 1)
    if kind == 0:
        return f"# user {number}\n" + given
    if kind == 1:
        return given + ("" if given.endswith("\n") or not given else "\n") + f"# user {number}\n[user{number}]\nx = 1\n"
    if kind == 2:
        return given.replace("SystemdCgroup = true", "SystemdCgroup = false", 1)
    return f"user{number} = 1 # user {number}\n" + given


FILES = {
    "containerd 1": ("containerd", "1.7.24", MAIN, text("by-hand.toml").replace('"conf.d/extra.toml",', '"x/*.toml",')),
    "containerd 2": ("containerd", "2.1.9", MAIN, text("containerd-2.1.toml")),
    "containerd, a new one": ("containerd", "1.7.24", MAIN, "# mine\nversion = 2\n"),
    "Docker": ("docker", "", DAEMON, '{\n  "debug": true\n}\n'),
    "CRI-O": ("crio", "", OWN_FILES["crio"], '[crio.runtime]\nlog_level = "info" # mine\n'),
    "podman": ("podman", "", OWN_FILES["podman"], '# mine\n[engine]\nhooks_dir = ["/x"]\n'),
}


@pytest.mark.parametrize(("engine", "version", "main", "start"), FILES.values(), ids=FILES)
@settings(max_examples=60)
@given(steps=st.lists(STEPS, min_size=2, max_size=7))
def test_any_work_in_between_ends_as_if_we_had_not_been_there(
    engine: str, version: str, main: str, start: str, steps: list[tuple[str, Any]]
) -> None:
    node, twin = Node(engine, {main: start}, version=version), start
    for number, (step, how) in enumerate(steps):
        if step == "user":
            node.files[main] = user_edit(how, number, engine, node.files[main])
            twin = user_edit(how, number, engine, twin)
        elif step == "not":
            node.uninstall(how)
        else:
            node.install(step, default=how)
            assert not node.install(step, default=how).concerns_engine
    for handler in "ab":
        node.uninstall(handler)
    assert list(node.files) == [main]
    alone = Node(engine, {main: twin})
    assert same(pruned(node.value(main))) == same(pruned(alone.value(main)))
    if engine != "docker":
        assert [line for line in twin.splitlines() if "#" in line and line not in node.files[main].splitlines()] == []
    if not any(step == "user" for step, _ in steps):
        assert node.files[main] == start
