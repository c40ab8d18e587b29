"""Install and uninstall with somebody else's edits in between: their text is unchanged, and ours is removed.

Also: two handlers side by side, and what an older or a killed version of us has left.
"""

from __future__ import annotations

import json
import tomllib
from collections.abc import Callable
from itertools import permutations
from typing import Any

import pytest

from oci_systemd.engines import plan, record
from oci_systemd.engines.launcher import stub
from oci_systemd.engines.plan import Edit, reconciled
from tests.engines.build import LAUNCHER, Node, check_cycle, text
from tests.engines.merging import handlers

MAIN = "/etc/containerd/config.toml"
OURS = "/etc/containerd/conf.d/50-oci-systemd.toml"
DAEMON = "/etc/docker/daemon.json"
CRIO = "/etc/crio/crio.conf.d/50-oci-systemd.conf"
RUNC = "io.containerd.runc.v2"
V2, V3 = "io.containerd.grpc.v1.cri", "io.containerd.cri.v1.runtime"
DEBIAN, OLD, NEW, HAND = (
    text(f"{name}.toml") for name in ("containerd-debian", "containerd-1.7", "containerd-2.1", "by-hand")
)
KATA = (
    f'\n# the kata handler\n[plugins."{V2}".containerd.runtimes.kata]\n  runtime_type = "io.containerd.kata.v2" # 3.x\n'
)
KATA3 = KATA.replace(V2, V3)
HAND_FILES = {MAIN: HAND, "/etc/containerd/conf.d/extra.toml": ""}

Change = Callable[[Node], None]


def add(addition: str, path: str = "") -> Change:
    """Somebody writes at the end of a file."""

    def change(node: Node) -> None:
        node.files[path or node.main] += addition

    return change


def turn(old: str, new: str, path: str = "") -> Change:
    """Somebody writes something in the place of something."""
    return lambda node: node.edit(old, new, path)


def both(*changes: Change) -> Change:
    def change(node: Node) -> None:
        for each in changes:
            each(node)

    return change


# Engine, files, what is wanted, what somebody does, and what is left of the main file: where it can be, the very bytes that
# somebody would have who had never met us.
Row = tuple[str, dict[str, str], dict[str, Any], Change, str]
EDITED: dict[str, Row] = {
    "another handler below ours": ("containerd", {MAIN: DEBIAN}, {}, add(KATA), DEBIAN + KATA),
    "the same, with the default": ("containerd", {MAIN: DEBIAN}, {"default": True}, add(KATA), DEBIAN + KATA),
    "another handler above ours": (
        "containerd",
        {MAIN: DEBIAN},
        {},
        turn('    path = "/var/lib/containerd/opt"\n', '    path = "/var/lib/containerd/opt"\n' + KATA),
        DEBIAN + KATA,
    ),
    "a comment at the end": ("containerd", {MAIN: OLD}, {"default": True}, add("# mine\n"), OLD + "# mine\n"),
    "a comment at the end, without a line's end": ("containerd", {MAIN: OLD}, {}, add("# mine"), OLD + "# mine"),
    "a comment above our table": (
        "containerd",
        {MAIN: DEBIAN},
        {},
        turn(f'\n[plugins."{V2}".containerd.runtimes.systemd]', f'\n# mine\n[plugins."{V2}".containerd.runtimes.systemd]'),
        DEBIAN + "\n# mine\n",
    ),
    "a value in our table": ("containerd", {MAIN: DEBIAN}, {}, add("    SystemdCgroup = true\n"), DEBIAN),
    "the same, with the default before": (
        "containerd",
        {MAIN: DEBIAN},
        {"default": True},
        turn(f'    BinaryName = "{LAUNCHER}"\n', f'    BinaryName = "{LAUNCHER}"\n    SystemdCgroup = true\n'),
        DEBIAN,
    ),
    "our program, and another handler behind": (
        "containerd",
        {MAIN: DEBIAN},
        {},
        both(turn(LAUNCHER, "/opt/oci-systemd-runtime"), add(KATA)),
        DEBIAN + KATA,
    ),
    "a comment and a table of theirs in ours": (
        "containerd",
        {MAIN: DEBIAN},
        {},
        add(f'    # why not\n    [plugins."{V2}".containerd.runtimes.systemd.cni]\n    x = 1\n' + KATA),
        DEBIAN + KATA,
    ),
    "values elsewhere": (
        "containerd",
        HAND_FILES,
        {"default": True},
        turn('"https://mirror.example",', '"https://other.example", # moved'),
        HAND.replace('"https://mirror.example",', '"https://other.example", # moved'),
    ),
    "the default, by somebody else": (
        "containerd",
        {MAIN: OLD},
        {"default": True},
        turn('default_runtime_name = "systemd"', 'default_runtime_name = "kata"'),
        OLD.replace('default_runtime_name = "runc"', 'default_runtime_name = "kata"'),
    ),
    "the default, back again": (
        "containerd",
        {MAIN: OLD},
        {"default": True},
        turn('default_runtime_name = "systemd"', 'default_runtime_name = "runc"'),
        OLD,
    ),
    "the default, taken out": (
        "containerd",
        {MAIN: OLD},
        {"default": True},
        turn('      default_runtime_name = "systemd"\n', ""),
        OLD.replace('      default_runtime_name = "runc"\n', ""),
    ),
    "our table, taken out": (
        "containerd",
        {MAIN: OLD},
        {"default": True},
        lambda node: node.files.update({MAIN: OLD + "# gone\n"}),
        OLD + "# gone\n",
    ),
    "all of the file": (
        "containerd",
        {MAIN: OLD},
        {"default": True},
        lambda node: node.files.update({MAIN: "version = 2\n"}),
        "version = 2\n",
    ),
    "one more import": (
        "containerd",
        {MAIN: "version = 3\nimports = ['/etc/a.toml']\n", "/etc/a.toml": "", "/etc/b.toml": ""},
        {},
        turn('oci-systemd.toml"]', 'oci-systemd.toml", "/etc/b.toml"]'),
        "version = 3\nimports = ['/etc/a.toml', \"/etc/b.toml\"]\n",
    ),
    "one more import, on its line, with a comment": (
        "containerd",
        {MAIN: "version = 3\nimports = [\n  # a\n  '/etc/a.toml',\n]\n", "/etc/a.toml": "", "/etc/b.toml": ""},
        {},
        turn('oci-systemd.toml",\n', 'oci-systemd.toml",\n  "/etc/b.toml", # b\n'),
        "version = 3\nimports = [\n  # a\n  '/etc/a.toml',\n  \"/etc/b.toml\", # b\n]\n",
    ),
    "one import less": (
        "containerd",
        {MAIN: "version = 3\nimports = ['/etc/a.toml', '/etc/b.toml']\n", "/etc/a.toml": "", "/etc/b.toml": ""},
        {},
        turn("'/etc/a.toml', ", ""),
        "version = 3\nimports = ['/etc/b.toml']\n",
    ),
    "the imports, where there were none": (
        "containerd",
        {MAIN: "version = 3\n", "/etc/b.toml": ""},
        {},
        turn("imports = [", 'imports = ["/etc/b.toml", '),
        'version = 3\nimports = ["/etc/b.toml"]\n',
    ),
    "the imports, taken out": (
        "containerd",
        {MAIN: "version = 3\n"},
        {},
        turn('imports = ["/etc/containerd/conf.d/*-oci-systemd.toml"]\n', ""),
        "version = 3\n",
    ),
    "another handler in a file that we made": (
        "containerd",
        {},
        {},
        add(KATA),
        "# Written by `oci-systemd install containerd`; `oci-systemd uninstall containerd` takes it away.\nversion = 2\n" + KATA,
    ),
    "a plugin in a file that had no version": (
        "containerd",
        {MAIN: "# mine\nroot = '/data'\n"},
        {"default": True},
        add('\n[plugins."io.containerd.x.v1.y"]\n  z = 1\n'),
        "# mine\nroot = '/data'\nversion = 2\n\n[plugins.\"io.containerd.x.v1.y\"]\n  z = 1\n",
    ),
    "options of the runc that we wrote": (
        "containerd",
        {MAIN: DEBIAN},
        {"default": True},
        turn(
            f'runtimes.runc]\n  runtime_type = "{RUNC}"\n',
            f'runtimes.runc]\n  runtime_type = "{RUNC}"\n  options = {{SystemdCgroup = true}} # mine\n',
        ),
        DEBIAN + f'\n[plugins."{V2}".containerd.runtimes.runc]\n  runtime_type = "{RUNC}"\n'
        "  options = {SystemdCgroup = true} # mine\n",
    ),
    "another runtime in daemon.json": (
        "docker",
        {DAEMON: '{\n  "debug": true\n}\n'},
        {"default": True},
        turn('"runtimes": {', '"runtimes": {\n    "kata": {"path": "/kata"},'),
        '{\n  "debug": true,\n  "runtimes": {\n    "kata": {"path": "/kata"}\n  }\n}\n',
    ),
    "a key in daemon.json": (
        "docker",
        {DAEMON: '{"debug": true}'},
        {},
        turn("true", 'false, "dns": []'),
        '{"debug": false, "dns": []}',
    ),
    "a key in our runtime": (
        "docker",
        {DAEMON: '{"debug": true}'},
        {"default": True},
        turn(f'"{LAUNCHER}"', f'"{LAUNCHER}", "runtimeArgs": ["-x"]'),
        '{"debug": true}',
    ),
    "our runtime, taken out": (
        "docker",
        {DAEMON: "{}"},
        {},
        lambda node: node.files.update({DAEMON: '{"debug": true}'}),
        '{"debug": true}',
    ),
    "Docker's default": (
        "docker",
        {DAEMON: '{"default-runtime": "runc"}'},
        {"default": True},
        turn('"default-runtime": "systemd"', '"default-runtime": "kata"'),
        '{"default-runtime": "kata"}',
    ),
}  # fmt: skip


@pytest.mark.parametrize(("engine", "files", "wanted", "change", "left"), EDITED.values(), ids=EDITED)
def test_what_somebody_wrote_meanwhile_stays(
    engine: str, files: dict[str, str], wanted: dict[str, Any], change: Change, left: str
) -> None:
    node = Node(engine, files)
    node.install(**wanted)
    change(node)
    node.uninstall()
    assert node.files == files | {node.main: left}


@pytest.mark.parametrize(("engine", "files", "wanted", "change", "left"), EDITED.values(), ids=EDITED)
def test_installed_again_it_stays_as_well(
    engine: str, files: dict[str, str], wanted: dict[str, Any], change: Change, left: str
) -> None:
    node = Node(engine, files)
    node.install(**wanted)
    change(node)
    node.install(**wanted)
    assert not node.install(**wanted).concerns_engine
    node.uninstall()
    assert _says(node) == _says(Node(engine, files | {node.main: left}))


def _says(node: Node) -> dict[str, Any]:
    """What the files say, whatever their layout."""
    return {path: node.value(path) for path in node.others}


# Two handlers

TWO: dict[str, tuple[str, dict[str, str], str]] = {
    "containerd, in place": ("containerd", {MAIN: DEBIAN}, "1.7.24"),
    "containerd, in place, with runc": ("containerd", {MAIN: OLD}, "1.7.24"),
    "containerd, by drop-in": ("containerd", {MAIN: NEW}, "2.1.9"),
    "containerd, by hand": ("containerd", HAND_FILES, "1.7.24"),
    "containerd, no file": ("containerd", {}, "1.7.24"),
    "containerd 2, no file": ("containerd", {}, "2.1.9"),
    "containerd, no version": ("containerd", {MAIN: "root = '/data'"}, ""),
    "CRI-O": ("crio", {"/etc/crio/crio.conf.d/10-crio.conf": text("10-crio.conf")}, ""),
    "podman": ("podman", {"/usr/share/containers/containers.conf": text("containers.conf")}, ""),
    "Docker": ("docker", {DAEMON: '{\n  "debug": true\n}\n'}, ""),
    "Docker, an empty object": ("docker", {DAEMON: "{}"}, ""),
    "Docker, other runtimes": ("docker", {DAEMON: '{"runtimes": {"x": {"path": "/x"}}, "default-runtime": "x"}'}, ""),
    "Docker, no file": ("docker", {}, ""),
}
ORDERS = {
    f"{' '.join(first)}, {' '.join(last)}": (first, last) for first in permutations("ab") for last in permutations("ab")
}


@pytest.mark.parametrize("default", ["", "a", "b", "ab"])
@pytest.mark.parametrize(("first", "last"), ORDERS.values(), ids=ORDERS)
@pytest.mark.parametrize(("engine", "files", "version"), TWO.values(), ids=TWO)
def test_two_handlers_go_in_any_order(
    engine: str, files: dict[str, str], version: str, first: str, last: str, default: str
) -> None:
    node = Node(engine, files, version=version)
    for handler in first:
        node.install(handler, default=handler in default)
    for handler in first if default != "ab" else "":
        assert not node.install(handler, default=handler in default).concerns_engine
    assert node.uninstall(last[0]).kept == []
    alone = Node(engine, files, version=version)
    alone.install(last[1], default=last[1] in default)
    assert said(node) == said(alone)
    assert node.uninstall(last[1]).kept == []
    assert node.files == files


def said(node: Node) -> Any:
    """The engine's view of the files: containerd's merged configuration; of others, all but our list entries."""
    if node.engine == "containerd":
        return handlers(node.files, node.main, int(node.version[:1] or 2))
    return {path: without_lists(value) for path, value in _says(node).items()}


def without_lists(value: dict[str, Any]) -> dict[str, Any]:
    """podman's lists may name a removed handler until our last one is removed; that has no effect."""
    return {
        key: without_lists(each) if isinstance(each, dict) else each
        for key, each in value.items()
        if not key.startswith("runtime_supports_")
    }


def test_a_file_is_ours_until_the_last_handler_goes() -> None:
    node = Node("crio", {})
    node.install("a")
    node.install("b")
    node.uninstall("a")
    assert list(tomllib.loads(node.files[CRIO])["crio"]["runtime"]["runtimes"]) == ["b"]
    node.uninstall("b")
    assert node.files == {}


def test_imports_stay_while_a_handler_needs_them() -> None:
    node = Node("containerd", {MAIN: "version = 3\nimports = []\n", "/etc/x.toml": ""})
    node.install("a")
    node.edit('oci-systemd.toml"]', 'oci-systemd.toml", "/etc/x.toml"]')
    node.install("b")
    node.install("a")
    node.uninstall("b")
    assert set(handlers(node.files, MAIN, 2)["runtimes"]) == {"runc", "a"}
    node.uninstall("a")
    assert node.files == {MAIN: 'version = 3\nimports = ["/etc/x.toml"]\n', "/etc/x.toml": ""}


# Another version of us


@pytest.mark.parametrize("default", [False, True])
@pytest.mark.parametrize("engine", ["containerd", "crio", "docker", "podman"])
def test_upgrade_writes_what_is_wanted_now(engine: str, default: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """An older version wrote other annotations, another program and a key that is wanted no longer."""
    files = {MAIN: OLD} if engine == "containerd" else {}
    node = Node(engine, files)
    with monkeypatch.context() as older:
        older.setattr("oci_systemd.engines.containerd.PASSED", ["io.systemd.container"])
        node.install(binary="/opt/old/oci-systemd-runtime", default=default)
    if engine == "containerd":
        node.edit('BinaryName = "/opt/old', 'CriuPath = "/old"\n    BinaryName = "/opt/old')
        damaged = json.loads(node.files[node.own])
        damaged["entries"][0]["now"]["options"]["CriuPath"] = "/old"
        node.files[node.own] = json.dumps(damaged)
    new = Node(engine, files)
    assert node.install(default=default).kept == []
    new.install(default=default)
    assert _says(node)[next(iter(new.others))] == _says(new)[next(iter(new.others))]
    assert "/opt/old" not in str(node.files)
    assert node.uninstall().kept == []
    assert node.files == files


def test_record_with_a_field_to_come_is_read() -> None:
    node = Node("docker", {})
    node.install()
    value = json.loads(node.files[node.own])
    value["later"] = value["entries"][0]["later"] = [1]
    node.files[node.own] = json.dumps(value)
    node.uninstall()
    assert node.files == {}


@pytest.mark.parametrize("engine", ["containerd", "crio", "docker", "podman"])
def test_what_a_killed_install_left_is_made_whole(engine: str) -> None:
    """The record is written first and removed last: after an interruption the next run knows our files."""
    files = {MAIN: DEBIAN} if engine == "containerd" else {}
    for done in range(4):
        node = Node(engine, files)
        wanted = plan.install(engine, "systemd", node, needs(engine))
        assert wanted.changes[0].path == node.own
        wanted.changes[done:] = []
        node.commit(wanted)
        node.install()
        assert node.uninstall().kept == []
        assert node.files == files
    for done in range(4):
        node = Node(engine, files)
        node.install()
        wanted = plan.uninstall(engine, "systemd", node)
        assert wanted.changes[-1].path == node.own
        wanted.changes[done:] = []
        node.commit(wanted)
        assert node.uninstall().kept == []
        assert node.files == files


class Restless(Node):
    """A machine on which somebody else writes as soon as the main file was read."""

    def read(self, path: str) -> str | None:
        found = super().read(path)
        if path == self.main:
            self.files[path] = '{"theirs": true}'
        return found


def test_plan_is_made_of_files_as_they_were_at_one_time() -> None:
    """A plan holds the files' old content, so that somebody's edit in between is found when it is carried out."""
    made = plan.install("docker", "systemd", Restless("docker", {DAEMON: "{}"}), needs("docker"))
    assert [change.old for change in made.changes if change.path == DAEMON] == ["{}"]
    node = Node("docker", {DAEMON: "{}"})
    node.install()
    back = plan.uninstall("docker", "systemd", Restless("docker", node.files))
    assert [change.old for change in back.changes if change.path == DAEMON] == [node.files[DAEMON]]


def needs(engine: str) -> Callable[[plan.Tree], list[Edit]]:
    from oci_systemd.engines.engines import ENGINES
    from oci_systemd.engines.wanted import Wanted

    return lambda tree: ENGINES[engine].edits(
        tree, Node(engine, {}).main, Wanted("systemd", LAUNCHER, "/usr/sbin/runc")
    )


# A stub, a whole file of ours


def stubbed(files: dict[str, str], runtime: str = "/usr/bin/crun") -> tuple[Node, str]:
    node = Node("docker", files)
    path, script = stub(LAUNCHER, runtime, "docker", "systemd")
    node.stub = [Edit(path, (), script)]
    return node, path


def test_stub_is_made_and_removed_and_executable() -> None:
    node, path = stubbed({DAEMON: "{}"})
    done = node.install(binary=path)
    assert {change.path: oct(change.mode) for change in done.changes} == {
        node.own: "0o644",
        path: "0o755",
        DAEMON: "0o644",
    }
    check_cycle(stubbed({DAEMON: "{}"})[0], binary=path)


def test_stub_changes_with_its_runtime_and_goes_with_it() -> None:
    node, path = stubbed({})
    node.install(binary=path)
    node.stub = stubbed({}, "/opt/crun")[0].stub
    node.install(binary=path)
    assert "osd_runtime=/opt/crun\n" in node.files[path]
    node.stub = []
    node.install()
    assert path not in node.files
    node.uninstall()
    assert node.files == {}


def test_stub_that_somebody_changed_stays_until_it_goes() -> None:
    node, path = stubbed({})
    node.install(binary=path)
    node.files[path] += "# mine\n"
    assert node.install(binary=path).kept == [f"{path}: changed by someone else; left unchanged"]
    (kept,) = node.uninstall().kept
    assert kept.startswith(f"{path}: changed since install; left unchanged")
    assert node.files == {path: f"{node.stub[0].value}# mine\n"}


# Messages


KEPT: dict[str, tuple[Change, str]] = {
    "the default": (
        turn('default_runtime_name = "systemd"', 'default_runtime_name = "kata"'),
        f"{MAIN}: plugins.{V2}.containerd.default_runtime_name: changed since install; left unchanged ('kata')",
    ),
    "the default as a number": (
        turn('default_runtime_name = "systemd"', "default_runtime_name = 1"),
        f"{MAIN}: plugins.{V2}.containerd.default_runtime_name: changed since install; left unchanged (1)",
    ),
    "our table was replaced by a string": (
        lambda node: node.files.update({MAIN: f'version = 2\nplugins."{V2}".containerd.runtimes = {{systemd="x"}}'}),
        f"{MAIN}: plugins.{V2}.containerd.runtimes.systemd: changed since install; left unchanged ('x')",
    ),
}


@pytest.mark.parametrize(("change", "sentence"), KEPT.values(), ids=KEPT)
def test_what_stays_is_told(change: Change, sentence: str) -> None:
    node = Node("containerd", {MAIN: OLD})
    node.install(default=True)
    change(node)
    before = node.files[MAIN]
    assert node.uninstall().kept == [sentence]
    assert (node.files[MAIN] == before) == ("'x'" in sentence)
    assert node.own not in node.files


def test_version_that_is_needed_stays_and_is_told() -> None:
    node = Node("containerd", {MAIN: ""})
    node.install()
    add('[plugins."x"]\ny = 1\n')(node)
    assert node.uninstall().kept == [f"{MAIN}: version: needed by other settings in the file; left unchanged"]
    assert node.value() == {"version": 2, "plugins": {"x": {"y": 1}}}


RECONCILED: dict[str, tuple[Any, Any, Any, Any]] = {
    "nothing there": (None, 1, None, 1),
    "ours": (1, 2, 1, 2),
    "somebody's": (3, 2, 1, 3),
    "somebody's before us": (3, 2, None, 3),
    "a table: each key by itself": (
        {"a": 1, "b": 2, "theirs": 3},
        {"a": 9, "b": 9, "new": 9},
        {"a": 1, "b": 1},
        {"a": 9, "b": 2, "theirs": 3, "new": 9},
    ),
    "a key that is wanted no longer goes": ({"a": 1, "b": 1}, {"a": 1}, {"a": 1, "b": 1}, {"a": 1}),
    "but not where somebody changed it": ({"a": 1, "b": 2}, {"a": 1}, {"a": 1, "b": 1}, {"a": 1, "b": 2}),
    "a key that somebody took out comes back": ({"b": 1}, {"a": 1, "b": 1}, {"a": 1, "b": 1}, {"b": 1, "a": 1}),
    "a list as a whole": (["a", "x"], ["b"], ["a"], ["a", "x"]),
}


@pytest.mark.parametrize(("current", "wanted", "ours", "result"), RECONCILED.values(), ids=RECONCILED)
def test_what_is_to_stand_there(current: Any, wanted: Any, ours: Any, result: Any) -> None:
    assert reconciled(current, wanted, ours) == result


def test_folders_that_were_made_are_named_for_removal_and_the_shared_ones() -> None:
    node = Node("containerd", {MAIN: "version = 3\n"})
    node.install()
    assert record.read(node.files[node.own], "containerd").folders == (
        "/etc/containerd/conf.d",
        "/etc/oci-systemd",
        "/etc/oci-systemd/engines",
    )
    assert node.uninstall().folders == ["/etc/oci-systemd/engines", "/etc/oci-systemd", "/etc/containerd/conf.d"]
