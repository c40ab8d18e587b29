"""Our handler in containerd's files, wherever they lie and however they are written, and what containerd makes of that.

`texts` are files of real machines (Debian's containerd 1.7 and 2.1, their `config default`, k3s, microk8s, nvidia-ctk), cut
to what matters here.
"""

from __future__ import annotations

import tomllib
from dataclasses import dataclass, field
from typing import Any

import pytest
import tomlkit

from oci_systemd.core.errors import Problem
from oci_systemd.engines.containerd import PASSED, base_runtime, wrapped
from oci_systemd.engines.containerd_files import DROP_IN, in_the_way
from oci_systemd.engines.plan import BASE
from tests.engines.build import LAUNCHER, Node, check_cycle, text
from tests.engines.merging import deep, handlers

MAIN = "/etc/containerd/config.toml"
OURS = f"/etc/containerd/conf.d/{DROP_IN}"
V2, V3 = "io.containerd.grpc.v1.cri", "io.containerd.cri.v1.runtime"
RUNC = "io.containerd.runc.v2"
K3S = "/var/lib/rancher/k3s/agent/etc/containerd"
K0S = "/etc/k0s"
MICROK8S = "/var/snap/microk8s/current/args/containerd-template.toml"
K0S_HEAD = "# k0s_managed=true\n# This is a placeholder configuration for k0s managed containerd.\n"
BOTH = ("1.7.24", "2.1.9")


@dataclass(frozen=True)
class Case:
    """Files of a node, the versions of containerd that may run there, and the files that are changed for a handler."""

    files: dict[str, str]
    written: set[str]
    versions: tuple[str, ...] = BOTH
    main: str = MAIN
    options: dict[str, Any] = field(default_factory=dict)
    by_default: set[str] = field(default_factory=set)  # those that are changed for --default, where they are others

    def node(self, version: str) -> Node:
        return Node("containerd", self.files, self.main, version)


NVIDIA_FILE = "/etc/containerd/conf.d/99-nvidia.toml"
NVIDIA = {
    MAIN: f'version = 2\nimports = ["conf.d/*.toml"]\n[plugins."{V2}"]\nsandbox_image = "registry.k8s.io/pause:3.8"\n',
    NVIDIA_FILE: text("nvidia-2.toml"),
}
CASES = {
    "Debian's file": Case({MAIN: text("containerd-debian.toml")}, {MAIN}),
    "config default of 1.7": Case({MAIN: text("containerd-1.7.toml")}, {MAIN}),
    "config default of 2.1": Case({MAIN: text("containerd-2.1.toml")}, {MAIN, OURS}, BOTH[1:]),
    "by hand, with files that it imports": Case(
        {
            MAIN: text("by-hand.toml"),
            "/etc/containerd/conf.d/extra.toml": 'version = 2\n[plugins."io.containerd.x.v1.y"]\n',
            "/etc/containerd/more/a.toml": 'version = 2\n[proxy_plugins.x]\ntype = "snapshot"\n',
        },
        {MAIN},
        options={"SystemdCgroup": True},
    ),
    "no file, 1.x": Case({}, {MAIN}, BOTH[:1]),
    "no file, 2.x": Case({}, {MAIN, OURS}, BOTH[1:]),
    "no file, and no version known": Case({}, {MAIN}, ("",)),
    "an empty file": Case({MAIN: ""}, {MAIN}),
    "a comment alone": Case({MAIN: "# nothing yet"}, {MAIN}),
    "version 2 alone": Case({MAIN: "version = 2\n"}, {MAIN}),
    "version 3 alone": Case({MAIN: "version = 3"}, {MAIN, OURS}, BOTH[1:]),
    "no version, no plugins": Case({MAIN: 'root = "/data"\n[grpc]\n  uid = 0\n'}, {MAIN}),
    "no version, an import of version 3": Case(
        {MAIN: 'imports = ["/etc/x.toml"]\n', "/etc/x.toml": 'version = 3\n[plugins."x"]\ny = 1\n'}, {MAIN}, BOTH[1:]
    ),
    "no version, tables of version 3": Case(
        {MAIN: f"[plugins.'{V3}'.containerd.runtimes.runc.options]\nSystemdCgroup = true\n"},
        {MAIN},
        BOTH[1:],
        options={"SystemdCgroup": True},
    ),
    "version 1, written": Case({MAIN: "version = 1\n[plugins.cri]\n  x = 1\n"}, {MAIN}, BOTH[:1]),
    "version 1, unwritten": Case(
        {MAIN: '[plugins.cri.containerd.runtimes.runc]\nruntime_type = "io.containerd.runc.v1"\n'}, {MAIN}, BOTH[:1]
    ),
    "version 2 on 2.x": Case(
        {MAIN: f'version = 2\n[plugins."{V2}".containerd.runtimes.runc.options]\nSystemdCgroup = true\n'},
        {MAIN},
        BOTH[1:],
        options={"SystemdCgroup": True},
    ),
    "conf.d is imported": Case({MAIN: 'version = 3\nimports = ["/etc/containerd/conf.d/*.toml"]\n'}, {OURS}, BOTH[1:]),
    "another folder is imported": Case(
        {MAIN: 'version = 3\nimports = ["drop/*.toml"]\n'}, {f"/etc/containerd/drop/{DROP_IN}"}, BOTH[1:]
    ),
    "an import in an import": Case(
        {
            MAIN: 'version = 3\nimports = ["/etc/a.toml"]\n',
            "/etc/a.toml": 'version = 3\nimports = ["./b/*.toml"]\n',
        },
        {f"/etc/b/{DROP_IN}"},
        BOTH[1:],
    ),
    "an import of itself": Case({MAIN: 'version = 3\nimports = ["./config.toml"]\n'}, {MAIN, OURS}, BOTH[1:]),
    "imports with wildcards in their folder": Case(
        {MAIN: 'version = 3\nimports = ["/etc/*/*.toml"]\n'}, {MAIN, OURS}, BOTH[1:]
    ),
    "imports of other files than ours": Case(
        {
            MAIN: 'version = 3\nimports = ["/etc/a.toml", "/etc/x/99-*.toml"]\n',
            "/etc/a.toml": f'[plugins."{V3}".containerd.runtimes.runc.options]\nSystemdCgroup = true\n',
        },
        {MAIN, OURS},
        BOTH[1:],
        options={"SystemdCgroup": True},
    ),
    "imports on several lines": Case(
        {
            MAIN: '# v3\nversion = 3 # yes\nimports = [\n  # ours\n  "/etc/a.toml", # a\n  "/etc/b/*.toml"  # b\n]\n\n[grpc]\n',
            "/etc/a.toml": "",
        },
        {f"/etc/b/{DROP_IN}"},
        BOTH[1:],
    ),
    "nvidia-ctk, 1.x: its file has the table that counts": Case(
        NVIDIA, {NVIDIA_FILE}, BOTH[:1], options={"SystemdCgroup": True}
    ),
    "nvidia-ctk, 2.x: tables merge": Case(
        NVIDIA, {MAIN}, BOTH[1:], options={"SystemdCgroup": True}, by_default={NVIDIA_FILE}
    ),
    "a file without runc loses it on 1.x": Case(
        {MAIN: f'version = 2\n[plugins."{V2}"]\nsandbox_image = "x"\n'}, {MAIN}, BOTH
    ),
    "inline tables": Case(
        {MAIN: f'version = 2\nplugins = {{ "{V2}" = {{ containerd = {{ snapshotter = "x" }} }} }}\n'}, {MAIN}
    ),
    "an inline handler": Case(
        {
            MAIN: f'version = 2\n[plugins."{V2}".containerd]\n'
            f'runtimes = {{ runc = {{ runtime_type = "{RUNC}", options = {{ SystemdCgroup = true }} }} }}\n[grpc]\n'
        },
        {MAIN},
        options={"SystemdCgroup": True},
    ),
    "dotted keys": Case(
        {
            MAIN: f'version = 2\n[plugins]\n"{V2}".sandbox_image = "x"\n'
            f'"{V2}".containerd.runtimes.runc.runtime_type = "{RUNC}"\n'
            f'"{V2}".containerd.runtimes.runc.options.SystemdCgroup = true\n'
        },
        {MAIN},
        options={"SystemdCgroup": True},
    ),
    "tables out of order": Case(
        {
            MAIN: f'version = 2\n[plugins."{V2}".containerd.runtimes.runc]\nruntime_type = "{RUNC}"\n[grpc]\nuid = 0\n'
            f'[plugins."{V2}"]\nsandbox_image = "x"\n[metrics]\n[plugins."{V2}".containerd]\ndefault_runtime_name = "runc"\n'
        },
        {MAIN},
    ),
    "DOS lines, the last one open": Case(
        {MAIN: f'version = 2\r\n[plugins."{V2}".containerd]\r\n  default_runtime_name = "runc"'}, {MAIN}
    ),
    "k0s, version 2": Case(
        {f"{K0S}/containerd.toml": K0S_HEAD + 'version = 2\nimports = [\n\t"/run/k0s/containerd-cri.toml",\n]\n'}
        | {
            "/run/k0s/containerd-cri.toml": f'version = 2\n[plugins."{V2}".containerd]\ndefault_runtime_name = "runc"\n'
            f'[plugins."{V2}".containerd.runtimes.runc]\nruntime_type = "{RUNC}"\n'
        },
        {f"{K0S}/containerd.d/{DROP_IN}"},
        BOTH[:1],
        f"{K0S}/containerd.toml",
    ),
    "k0s, version 3, the mark on the second line": Case(
        {f"{K0S}/containerd.toml": "\n" + K0S_HEAD + 'version = 3\nimports = ["/etc/k0s/containerd.d/*.toml"]\n'},
        {f"{K0S}/containerd.d/{DROP_IN}"},
        BOTH[1:],
        f"{K0S}/containerd.toml",
    ),
    "k0s, taken over by its owner": Case(
        {f"{K0S}/containerd.toml": "version = 3\n# was k0s_managed=true\n"},
        {f"{K0S}/containerd.toml", f"{K0S}/conf.d/{DROP_IN}"},
        BOTH[1:],
        f"{K0S}/containerd.toml",
    ),
    "microk8s": Case({MICROK8S: text("microk8s-template.toml")}, {MICROK8S}, main=MICROK8S),
    "k3s with a folder of drop-ins": Case(
        {f"{K3S}/config.toml": text("k3s-1.35.toml")},
        {f"{K3S}/config-v3.toml.d/{DROP_IN}"},
        BOTH[1:],
        f"{K3S}/config.toml",
        {"SystemdCgroup": True},
    ),
    "rke2 in another place, version 2 with a folder": Case(
        {
            "/data/agent/etc/containerd/config.toml": 'version = 2\nimports = ["/data/agent/etc/containerd/config.toml.d/*.toml"]\n'
            f'[plugins."{V2}".containerd.runtimes.runc.options]\nSystemdCgroup = true\n'
        },
        {f"/data/agent/etc/containerd/config.toml.d/{DROP_IN}"},
        BOTH[1:],
        "/data/agent/etc/containerd/config.toml",
        {"SystemdCgroup": True},
    ),
}
RUNS = {f"{name} ({version or '?'})": (case, version) for name, case in CASES.items() for version in case.versions}


def merged(node: Node) -> dict[str, Any]:
    """What containerd ends up with. k0s of 1.x merges its drop-ins by itself, into the last file that it imports."""
    major = int(node.version[:1] or 1)
    files, ours = dict(node.files), node.files.get(f"{K0S}/containerd.d/{DROP_IN}")
    if major == 1 and ours is not None:
        own = "/run/k0s/containerd-cri.toml"
        files[own] = tomlkit.dumps(deep(tomllib.loads(files[own]), tomllib.loads(ours)))
    return handlers(files, node.main, major)


@pytest.mark.parametrize("default", [False, True], ids=["beside", "default"])
@pytest.mark.parametrize(("case", "version"), RUNS.values(), ids=RUNS)
def test_handler_is_added_and_taken_back(case: Case, version: str, default: bool) -> None:
    node = case.node(version)
    done = check_cycle(node, default=default)
    changed = {path for path, text in done.others.items() if text != node.files.get(path)}
    assert changed == ((default and case.by_default) or case.written)
    before, after = merged(node), merged(done)
    ours = after["runtimes"].pop("systemd")
    assert after["runtimes"] == before["runtimes"]
    assert after["default_runtime_name"] == ("systemd" if default else before["default_runtime_name"])
    assert ours["runtime_type"] == RUNC
    assert ours["options"] == {"BinaryName": LAUNCHER, **case.options}
    assert [each for each in PASSED if each not in ours["pod_annotations"]] == []
    assert wrapped(done, done.main) == {"systemd": LAUNCHER}


@pytest.mark.parametrize(("case", "version"), RUNS.values(), ids=RUNS)
def test_what_stood_there_keeps_its_lines(case: Case, version: str) -> None:
    """Whatever is added, comments and layout are the user's: at most one line is another one, that of the imports."""
    node = case.node(version)
    done = check_cycle(node)
    for path, old in node.files.items():
        left, new = old.splitlines(), done.files[path].splitlines()
        assert [line for line in left if line not in new and "imports" not in line and "= {" not in line] == []


def test_a_handler_looks_like_this() -> None:
    node = Node("containerd", {MAIN: text("containerd-debian.toml")})
    node.install(default=True)
    added = node.files[MAIN].removeprefix(text("containerd-debian.toml"))
    assert (
        added
        == f"""
[plugins."{V2}".containerd.runtimes.runc]
  runtime_type = "{RUNC}"

[plugins."{V2}".containerd.runtimes.systemd]
  runtime_type = "{RUNC}"
  pod_annotations = ["io.systemd.*", "io.systemd.*/*", "io.kubernetes.cri.container-stop-signal", "io.kubernetes.cri-o.StopSignal"]
  [plugins."{V2}".containerd.runtimes.systemd.options]
    BinaryName = "{LAUNCHER}"

[plugins."{V2}".containerd]
  default_runtime_name = "systemd"
"""
    )


def test_a_new_drop_in_and_its_import_look_like_this() -> None:
    node = Node("containerd", {MAIN: "# mine\nversion = 3\n[grpc]\n  gid = 5\n"})
    node.install()
    assert node.files[MAIN] == (
        '# mine\nversion = 3\nimports = ["/etc/containerd/conf.d/*-oci-systemd.toml"]\n[grpc]\n  gid = 5\n'
    )
    assert node.files[OURS].startswith("# Written by `oci-systemd install containerd`; ")
    assert tomllib.loads(node.files[OURS])["version"] == 3


# The handler that ours is made after

LIKE = {
    "zeros are left out": (
        {"runtime_path": "", "privileged_without_host_devices": False, "cni_max_conf_num": 0, "options": {"Root": ""}},
        {},
        {},
    ),
    "set options are copied": (
        {
            "snapshotter": "stargz",
            "privileged_without_host_devices": True,
            "base_runtime_spec": "/etc/spec.json",
            "options": {"SystemdCgroup": True, "Root": "/run/other", "IoUid": 7},
        },
        {"snapshotter": "stargz", "privileged_without_host_devices": True, "base_runtime_spec": "/etc/spec.json"},
        {"SystemdCgroup": True, "Root": "/run/other", "IoUid": 7},
    ),
    "its program is replaced": ({"options": {"BinaryName": "/opt/runc"}}, {}, {}),
    "an older shim is not": ({"runtime_type": "io.containerd.runc.v1", "options": {}}, {}, {}),
    "its annotations come first": (
        {"pod_annotations": ["example.com/*", "io.systemd.*"]},
        {"pod_annotations": ["example.com/*", "io.systemd.*", *PASSED[1:]]},
        {},
    ),
    "values of another type than a table or list are left out": ({"options": "x", "pod_annotations": "y"}, {}, {}),
}


@pytest.mark.parametrize(("like", "more", "options"), LIKE.values(), ids=LIKE)
def test_handler_is_made_after_runc(like: dict[str, Any], more: dict[str, Any], options: dict[str, Any]) -> None:
    node = Node("containerd", {MAIN: "version = 3\n"})
    runtimes = node_with(node, like)
    assert runtimes["systemd"] == {
        "runtime_type": RUNC,
        "pod_annotations": PASSED,
        **more,
        "options": {"BinaryName": LAUNCHER, **options},
    }


def node_with(node: Node, runc: dict[str, Any]) -> dict[str, Any]:
    """The runtimes of a node whose runc is that one, after an install."""
    node.files["/etc/runc.toml"] = tomlkit.dumps({"plugins": {V3: {"containerd": {"runtimes": {"runc": runc}}}}})
    node.files[MAIN] = 'version = 3\nimports = ["/etc/runc.toml"]\n'
    check_cycle(node)
    node.install()
    return dict(node.value(OURS)["plugins"][V3]["containerd"]["runtimes"])


def test_handler_follows_what_is_changed_about_runc() -> None:
    node = Node("containerd", {MAIN: text("containerd-1.7.toml")})
    node.install()
    node.edit("SystemdCgroup = false", "SystemdCgroup = true")
    node.install()
    runtimes = node.value()["plugins"][V2]["containerd"]["runtimes"]
    assert runtimes["systemd"]["options"] == {"BinaryName": LAUNCHER, "SystemdCgroup": True}
    node.uninstall()
    assert node.files == {MAIN: text("containerd-1.7.toml").replace("SystemdCgroup = false", "SystemdCgroup = true")}


BASES = {
    "nothing said": ({MAIN: "version = 2\n"}, ""),
    "runc by default": ({MAIN: text("containerd-1.7.toml")}, ""),
    "runc with a path": (
        {MAIN: f"version = 3\n[plugins.'{V3}'.containerd.runtimes.runc.options]\nBinaryName = '/opt/runc'\n"},
        "/opt/runc",
    ),
    "the default one, without runc": (
        {
            MAIN: f'version = 2\n[plugins."{V2}".containerd]\ndefault_runtime_name = "b"\n[plugins."{V2}".containerd.runtimes]\n'
            f'a = {{runtime_type="{RUNC}", options={{BinaryName="/a"}}}}\n'
            f'b = {{runtime_type="{RUNC}", options={{BinaryName="/b"}}}}'
        },
        "/b",
    ),
    "only runtimes of type runc": (
        {MAIN: f'version = 2\n[plugins."{V2}".containerd.runtimes]\nkata = {{runtime_type="io.containerd.kata.v2"}}'},
        "",
    ),
    "no file": ({}, ""),
}


@pytest.mark.parametrize(("files", "program"), BASES.values(), ids=BASES)
def test_the_nodes_own_runtime(files: dict[str, str], program: str) -> None:
    node = Node("containerd", files)
    assert base_runtime(node, MAIN) == program
    node.install()
    assert base_runtime(node, MAIN) == program


# A handler that is there already

BY_HAND = f"""version = 2
[plugins."{V2}".containerd.runtimes.systemd]  # mine
  runtime_type = "{RUNC}"
  [plugins."{V2}".containerd.runtimes.systemd.options]
    BinaryName = "/opt/oci-systemd-runtime"
"""


def test_handler_that_was_written_by_hand_gets_what_it_lacks() -> None:
    node = Node("containerd", {MAIN: BY_HAND})
    done = node.install()
    assert done.kept == [
        f"{MAIN}: plugins.{V2}.containerd.runtimes.systemd.options.BinaryName: changed by someone else; left unchanged"
    ]
    ours = node.value()["plugins"][V2]["containerd"]["runtimes"]["systemd"]
    assert ours["options"] == {"BinaryName": "/opt/oci-systemd-runtime"}
    assert ours["pod_annotations"] == PASSED
    assert node.install().changes == []
    node.uninstall()
    assert node.files == {MAIN: BY_HAND}


def test_handler_that_lacks_nothing_is_none_of_ours() -> None:
    node = Node("containerd", {})
    node.install(default=True)
    node.files = node.others
    before = dict(node.files)
    assert node.install(default=True).changes == []
    assert node.uninstall().changes == []
    assert node.files == before


TAKEN = {
    "runc's": ("runc", {MAIN: text("containerd-1.7.toml")}, "'runc': already exists in containerd, and calls 'runc'"),
    "another program's": (
        "x",
        {MAIN: f"version = 3\n[plugins.'{V3}'.containerd.runtimes.x.options]\nBinaryName = '/opt/y'\n"},
        "'x': already exists in containerd, and calls '/opt/y'",
    ),
    "in a drop-in of k0s": (
        "x",
        {
            MAIN: K0S_HEAD + "version = 2\n",
            "/etc/containerd/containerd.d/x.toml": f'[plugins."{V2}".containerd.runtimes.x]\nruntime_type = "y"\n',
        },
        "'x': already exists",
    ),
    "in an imported file": (
        "nvidia",
        {MAIN: 'version = 3\nimports = ["a/*"]', "/etc/containerd/a/99": text("nvidia-3.toml")},
        "'nvidia': already exists in containerd, and calls '/usr/bin/nvidia-container-runtime'",
    ),
}


@pytest.mark.parametrize(("handler", "files", "said"), TAKEN.values(), ids=TAKEN)
def test_name_that_is_taken_is_refused(handler: str, files: dict[str, str], said: str) -> None:
    with pytest.raises(Problem, match=said) as error:
        Node("containerd", files).install(handler)
    assert "--handler" in str(error.value)


OFF = {
    "by its old name": {MAIN: 'disabled_plugins = ["cri"]\n'},
    "by its name": {MAIN: f'version = 2\ndisabled_plugins = ["a", "{V2}"]\n'},
    "in an imported file": {
        MAIN: 'version = 3\nimports = ["x"]\n',
        "/etc/containerd/x": f'disabled_plugins = ["{V3}"]\n',
    },
}


@pytest.mark.parametrize("files", OFF.values(), ids=OFF)
def test_plugin_that_is_off_is_said(files: dict[str, str]) -> None:
    with pytest.raises(Problem, match=r"disabled_plugins.*install docker"):
        Node("containerd", files).install()


REFUSED: dict[str, tuple[dict[str, str], str, str]] = {
    "version 1 on 2.x": ({MAIN: "[plugins.cri]\nx = 1\n"}, "2.1.9", "version 1, in which containerd 2 ignores handlers"),
    "version 1 on any": ({MAIN: "[plugins.cri]\nx = 1\n"}, "", "containerd config migrate"),
    "no TOML": ({MAIN: "version = 2\n[x\n"}, "", r"invalid TOML: .*line 2.*unchanged"),
    "no TOML in an import": ({MAIN: 'version = 3\nimports = ["x"]\n', "/etc/containerd/x": "="}, "", "containerd/x: invalid TOML"),
    "a key twice": ({MAIN: "version = 2\nversion = 2\n"}, "", "line 2"),
    "a version as a string": ({MAIN: 'version = "3"\n'}, "", "version: unexpected value '3'"),
    "imports as a string": ({MAIN: 'version = 3\nimports = "/etc/x"\n'}, "", "imports: unexpected value '/etc/x'"),
    "runtimes as a number": ({MAIN: f'version = 2\n[plugins."{V2}".containerd]\nruntimes = 1\n'}, "", "is not a table"),
    "a handler as a string": ({MAIN: f'version = 2\n[plugins."{V2}".containerd.runtimes]\nsystemd = "x"\n'}, "", "value 'x'"),
    "plugins that are a list": ({MAIN: "version = 2\n[[plugins]]\n"}, "", "'plugins' is not a table"),
    "nested beyond measure": ({MAIN: "version = 2\nx = " + "[" * 150 + "]" * 150}, "", "more than 100 nested tables and lists"),
    "nested beyond reading": ({MAIN: "version = 2\nx = " + "[" * 9999}, "", "invalid TOML"),
}  # fmt: skip


@pytest.mark.parametrize(("files", "version", "said"), REFUSED.values(), ids=REFUSED)
def test_what_cannot_be_changed_is_told_and_stays(files: dict[str, str], version: str, said: str) -> None:
    node = Node("containerd", files, version=version)
    with pytest.raises(Problem, match=said):
        node.install()
    assert node.files == files


@pytest.mark.parametrize("default", [False, True])
def test_default_that_is_not_text_is_told(default: bool) -> None:
    node = Node("containerd", {MAIN: f'version = 2\n[plugins."{V2}".containerd]\ndefault_runtime_name = true\n'})
    if not default:
        check_cycle(node)
        return
    with pytest.raises(Problem, match="default_runtime_name: unexpected value True"):
        node.install(default=True)


# The default handler


def test_default_in_a_file_that_is_read_later_is_told() -> None:
    late = "/etc/containerd/conf.d/99-nvidia.toml"
    node = Node("containerd", {MAIN: 'version = 3\nimports = ["conf.d/*.toml"]\n', late: text("nvidia-3.toml")})
    check_cycle(node)
    with pytest.raises(Problem, match=f"{late}: sets the default runtime to 'nvidia'"):
        node.install(default=True)


def test_default_in_a_file_that_is_read_earlier_is_not() -> None:
    early = "/etc/containerd/conf.d/10-nvidia.toml"
    node = Node("containerd", {MAIN: 'version = 3\nimports = ["conf.d/*.toml"]\n', early: text("nvidia-3.toml")})
    done = check_cycle(node, default=True)
    assert handlers(done.files, MAIN, 2)["default_runtime_name"] == "systemd"


def test_default_is_given_up_again() -> None:
    node = Node("containerd", {MAIN: text("containerd-1.7.toml")})
    node.install(default=True)
    node.install()
    assert node.value()["plugins"][V2]["containerd"]["default_runtime_name"] == "runc"
    node.uninstall()
    assert node.files == {MAIN: text("containerd-1.7.toml")}


# k3s and rke2 without a folder of drop-ins: their template

TEMPLATES = {
    "version 2, none": ({}, "config.toml.tmpl", text("k3s-1.30.toml")),
    "version 2, one that extends": ({"config.toml.tmpl": BASE + "\n# my own\n"}, "config.toml.tmpl", text("k3s-1.30.toml")),
    "version 2, one of its own": (
        {"config.toml.tmpl": 'version = 2\n{{ if .NodeConfig }}\n[plugins."x"]\n  y = {{ .X }}{{end}}'},
        "config.toml.tmpl",
        text("k3s-1.30.toml"),
    ),
    "version 3, none": ({}, "config-v3.toml.tmpl", text("k3s-1.35.toml").replace("imports", "# imports")),
    "version 3, an empty one": ({"config-v3.toml.tmpl": ""}, "config-v3.toml.tmpl", text("k3s-1.35.toml").replace("imports", "#")),
}  # fmt: skip


@pytest.mark.parametrize(("templates", "name", "rendered"), TEMPLATES.values(), ids=TEMPLATES)
def test_handler_is_added_to_the_template(templates: dict[str, str], name: str, rendered: str) -> None:
    files = {f"{K3S}/{name}": text for name, text in templates.items()} | {f"{K3S}/config.toml": rendered}
    node = Node("containerd", files, f"{K3S}/config.toml")
    done = check_cycle(node)
    assert {path for path, text in done.others.items() if files.get(path) != text} == {f"{K3S}/{name}"}
    before, opening, rest = done.files[f"{K3S}/{name}"].partition("# oci-systemd: begin\n")
    block, closing, after = rest.partition("# oci-systemd: end\n")
    assert (bool(opening), bool(closing), after) == (True, True, "")
    assert before.rstrip("\n") == templates.get(name, BASE).rstrip("\n")
    plugin = V2 if "version = 2" in rendered else V3
    ours = tomllib.loads(block)["plugins"][plugin]["containerd"]["runtimes"]["systemd"]
    assert ours["options"] == {"BinaryName": LAUNCHER, "SystemdCgroup": True}


def test_rendered_file_may_hold_the_handler_by_then() -> None:
    """k3s renders the template at its start; nothing about that is ours to write."""
    node = Node("containerd", {f"{K3S}/config.toml": text("k3s-1.30.toml")}, f"{K3S}/config.toml")
    node.install()
    template = f"{K3S}/config.toml.tmpl"
    node.files[node.main] += node.files[template].removeprefix(BASE)
    assert node.install().changes == []
    node.uninstall()
    assert template not in node.files


def test_what_is_written_below_a_template_s_block_stays() -> None:
    node = Node("containerd", {f"{K3S}/config.toml": text("k3s-1.30.toml")}, f"{K3S}/config.toml")
    node.install()
    template, more = f"{K3S}/config.toml.tmpl", '\n# mine\n[plugins."x"]\n  y = {{ .Z }}\n'
    node.files[template] += more
    assert not node.install().concerns_engine
    node.install("other")
    assert node.files[template].endswith(more)
    node.uninstall()
    node.uninstall("other")
    assert node.others[template] == BASE + more


REFUSED_TEMPLATES = {
    "nothing rendered yet": ({}, {}, "not found; start the engine once"),
    "the default": ({"config.toml": text("k3s-1.30.toml")}, {"default": True}, "default-runtime: systemd"),
    "the handler stands in it": (
        {
            "config.toml": text("k3s-1.30.toml"),
            "config.toml.tmpl": f'{BASE}[plugins."{V2}".containerd.runtimes."systemd"]\n',
        },
        {},
        "handler 'systemd': already exists",
    ),
    "only its options": (
        {"config.toml": text("k3s-1.30.toml"), "config.toml.tmpl": f"[x.runtimes.'systemd'.options]\n"},  # noqa: F541
        {},
        "handler 'systemd': already exists",
    ),
    "half a block": (
        {"config.toml": text("k3s-1.30.toml"), "config.toml.tmpl": BASE + "# oci-systemd: begin\n"},
        {},
        "only one of the lines",
    ),
    "a block of invalid TOML": (
        {
            "config.toml": text("k3s-1.30.toml"),
            "config.toml.tmpl": "# oci-systemd: begin\n{{ x }}\n# oci-systemd: end\n",
        },
        {},
        "invalid TOML between",
    ),
}


@pytest.mark.parametrize(("files", "wanted", "said"), REFUSED_TEMPLATES.values(), ids=REFUSED_TEMPLATES)
def test_template_that_cannot_take_it_is_told(files: dict[str, str], wanted: dict[str, Any], said: str) -> None:
    node = Node("containerd", {f"{K3S}/{name}": text for name, text in files.items()}, f"{K3S}/config.toml")
    with pytest.raises(Problem, match=said):
        node.install(**wanted)


@pytest.mark.parametrize("main", [f"{K0S}/containerd.toml", MICROK8S])
def test_file_that_a_distribution_brings_is_not_made_for_it(main: str) -> None:
    with pytest.raises(Problem, match="start the engine once"):
        Node("containerd", {}, main).install()


# Obstacles

IN_THE_WAY = {
    "a missing import": (
        {MAIN: 'version = 3\nimports = ["/x.toml"]\n'},
        BOTH[1],
        f"{MAIN}: imports '/x.toml', which does not exist",
    ),
    "no import": (
        {MAIN: "version = 3\n", "/etc/x.toml": text("nvidia-3.toml")},
        BOTH[1],
        f"{MAIN}: does not import the file with the handler",
    ),
    "a later table": (
        {
            MAIN: f'version = 2\nimports = ["x.toml"]\n[plugins."{V2}".containerd.runtimes.nvidia]\n',
            "/etc/containerd/x.toml": f'version = 2\n[plugins."{V2}"]\nsandbox_image = "x"\n',
        },
        BOTH[0],
        "/etc/containerd/x.toml: read last",
    ),
    "another version": (
        {
            MAIN: f'version = 2\nimports = ["x.toml"]\n[plugins."{V2}".containerd.runtimes.nvidia]\n',
            "/etc/containerd/x.toml": "version = 3\n",
        },
        BOTH[1],
        "/etc/containerd/x.toml: has version 3",
    ),
    "nothing": ({MAIN: text("nvidia-3.toml")}, BOTH[1], ""),
    "no file": ({}, BOTH[1], ""),
}


@pytest.mark.parametrize(("files", "version", "said"), IN_THE_WAY.values(), ids=IN_THE_WAY)
def test_what_keeps_a_handler_from_being_in_effect(files: dict[str, str], version: str, said: str) -> None:
    found = in_the_way(Node("containerd", files), MAIN, "nvidia", version)
    assert found.startswith(said)
    assert bool(found) == bool(said)
