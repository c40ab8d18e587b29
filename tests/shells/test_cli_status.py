"""`oci-systemd status`, in-process, over fake state roots and fake runtimes: for people and for machines."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from oci_systemd.cli import cli
from oci_systemd.cli.columns import columns
from oci_systemd.cli.status import COLUMNS, DETAILS, PHRASES
from tests.shells.runtimes import SCRIPT, fake_runtime, put, state
from tests.shells.test_cli_explain import HOSTILE

CORPUS = Path(__file__).parent.parent / "corpus"
ID = "c0ffee" * 10 + "beef"
KEYS = """engine namespace pod container id status pid version reason changes stop_signal runtime root uid bundle
    problem""".split()
RECORD = {"io.systemd.container.adjusted": "0.1.0", "io.systemd.container.stop-signal": "SIGRTMIN+3"}
POD = {
    "io.kubernetes.cri.container-type": "container",
    "io.kubernetes.cri.sandbox-namespace": "prod",
    "io.kubernetes.cri.sandbox-name": "vm",
    "io.kubernetes.cri.container-name": "main",
}


class Node:
    """A node below `folder`: state roots, bundles, and fake runtimes on its PATH."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.bin = folder / "bin"
        self.root = folder / "runc"
        self.root.mkdir()
        self.handler = "/usr/bin/oci-systemd-runtime"  # as containerd's shim writes it down
        for kind in ("runc", "crun"):
            fake_runtime(self.bin / kind)

    def bundle(self, spec: str | dict[str, Any], annotations: dict[str, str] | None = None) -> str:
        """A bundle with a spec of the corpus, or another, and these annotations."""
        value = json.loads((CORPUS / f"{spec}.json").read_bytes()) if isinstance(spec, str) else spec
        value["annotations"] = (value.get("annotations") or {}) | (annotations or {})
        folder = self.folder / f"bundle-{len(list(self.folder.iterdir()))}"
        folder.mkdir()
        (folder / "config.json").write_text(json.dumps(value))
        (folder / "runtime").write_text(self.handler)
        return str(folder)

    def container(self, id: str, spec: str, annotations: dict[str, str] | None = None, **more: Any) -> None:
        """A container whose state and config.json agree."""
        bundle = self.bundle(spec, annotations)
        given = json.loads(Path(bundle, "config.json").read_bytes())["annotations"]
        put(self.root, id, state(bundle, given, **more))

    def run(self, *words: str, **environ: str) -> Result:
        env = {"PATH": f"{self.bin}:/usr/bin:/bin", "OCI_SYSTEMD_CONFIG": "", "OCI_SYSTEMD_RUNTIME": "", **environ}
        roots = [] if "--root" in words else ["--root", str(self.root)]
        return CliRunner(env=env).invoke(cli, ["status", *roots, *words])

    def document(self, *words: str, **environ: str) -> list[dict[str, Any]]:
        result = self.run("--json", *words, **environ)
        assert (result.exit_code, result.stderr) == (0, "")
        rows: list[dict[str, Any]] = json.loads(result.stdout)
        assert all(list(row) == KEYS for row in rows)
        return rows


@pytest.fixture
def node(tmp_path: Path) -> Node:
    return Node(tmp_path)


def test_machines_read_of_a_pods_container(node: Node) -> None:
    node.container(ID, "containerd-1.7/systemd.expected", POD, pid=42)
    (row,) = node.document()
    changes = {(change["what"], change["value"]) for change in row.pop("changes")}
    assert {("cgroup", "rw"), ("tmpfs", "/run"), ("tmpfs", "/run/lock"), ("container", "other")} <= changes
    assert row == {
        "engine": "none",
        "namespace": "prod",
        "pod": "vm",
        "container": "main",
        "id": ID,
        "status": "running",
        "pid": 42,
        "version": row["version"],
        "reason": "the command /sbin/init is an init",
        "stop_signal": {"name": "SIGRTMIN+3", "number": 37, "by": "wrapper"},
        "runtime": "runc",
        "root": str(node.root),
        "uid": row["uid"],
        "bundle": row["bundle"],
        "problem": None,
    }


def test_people_read_of_a_pods_container(node: Node) -> None:
    node.container(ID, "containerd-1.7/systemd.expected", RECORD | POD)
    result = node.run()
    head, line, *details = result.stdout.splitlines()
    assert (result.exit_code, result.stderr) == (0, "")
    user = {"USER": str(os.geteuid())} if os.geteuid() else {}  # who owns the state
    row = dict(zip(head.split(), line.split(), strict=True))
    names = {"ENGINE": "none", "POD": "prod/vm", "CONTAINER": "main", "ID": ID[:12], "STATUS": "running"}
    assert row == names | user | {"VERSION": "0.1.0"}
    assert [detail.split("  ")[1].strip() for detail in details] == [*DETAILS]
    assert details[0].endswith("the command /sbin/init is an init")
    limits = "at most 1000 cgroups; memory.oom.group=0"
    assert f"cgroup writable; {limits}; tmpfs at /run, /run/lock, /tmp, /var/log/journal" in details[1]
    assert details[2].endswith("SIGRTMIN+3 (37), by the wrapper in place of SIGTERM")


REASONS = {
    "an init": ("containerd-1.7/systemd.expected", {}, {}, "the command /sbin/init is an init"),
    "asked": ("docker/annotated.expected", {}, {}, 'annotation io.systemd.container is "true"'),
    "not wanted": (
        "containerd-1.7/shell",
        {},
        {},
        "today it would be left alone: the command 'sleep' is not systemd",
    ),
    "a sandbox that a pod's annotation reached": (
        "containerd-1.7/sandbox",
        {},
        {},
        "today it would be left alone: it is a pod's sandbox",
    ),
    "refused today": (
        "containerd-1.7/systemd",
        {"io.systemd.container": "maybe"},
        {},
        "today it would be refused: annotation io.systemd.container: invalid value 'maybe'",
    ),
    "a setting": ("containerd-1.7/shell", {}, {"commands": "sleep"}, "the command sleep is listed in the setting"),
}


@pytest.mark.parametrize(("spec", "annotations", "settings", "reason"), REASONS.values(), ids=REASONS)
def test_the_reason_is_worked_out_again(
    spec: str, annotations: dict[str, str], settings: dict[str, str], reason: str, node: Node
) -> None:
    file = node.folder / "settings.toml"
    file.write_text("".join(f'[detect]\n{key} = ["{value}"]\n' for key, value in settings.items()))
    node.container(ID, spec, RECORD | annotations)
    (row,) = node.document("--config", str(file))
    assert row["reason"].startswith(reason)


def test_a_broken_settings_file_is_told_and_stands_in_nobodys_way(node: Node) -> None:
    file = node.folder / "settings.toml"
    file.write_text("[detect")
    node.container(ID, "containerd-1.7/systemd.expected")
    result = node.run("--json", OCI_SYSTEMD_CONFIG=str(file))
    assert (result.exit_code, len(json.loads(result.stdout))) == (0, 1)
    assert "invalid TOML" in result.stderr


SIGNALS = {
    "the default": ("SIGRTMIN+3", "SIGRTMIN+3", 37, "SIGRTMIN+3 (37), by the wrapper in place of SIGTERM"),
    "a number": ("37", "SIGRTMIN+3", 37, "SIGRTMIN+3 (37), by the wrapper in place of SIGTERM"),
    "a name": ("pwr", "SIGPWR", 30, "SIGPWR (30), by the wrapper in place of SIGTERM"),
    "the last one": ("SIGRTMAX", "SIGRTMIN+30", 64, "SIGRTMIN+30 (64), by the wrapper in place of SIGTERM"),
    "none": ("none", "none", None, "none: SIGTERM is kept"),
    "nonsense": ("\x1b[31m", "\x1b[31m", None, "\\x1b[31m: SIGTERM is kept"),
    "nothing": (None, None, None, "none recorded: SIGTERM is kept"),
}


@pytest.mark.parametrize(("text", "name", "number", "words"), SIGNALS.values(), ids=SIGNALS)
def test_the_stop_signal_is(text: str | None, name: str | None, number: int | None, words: str, node: Node) -> None:
    record = {"io.systemd.container.adjusted": "0.1.0"} | (
        {"io.systemd.container.stop-signal": text} if text is not None else {}
    )
    node.container(ID, "containerd-1.7/systemd", record)
    by = "wrapper" if number else None
    assert node.document()[0]["stop_signal"] == {"name": name, "number": number, "by": by}
    assert node.run().stdout.splitlines()[-1].endswith(words)


HANDLERS = {
    "the wrapper": ("/usr/bin/oci-systemd-runtime", "SIGRTMIN+3", "by the wrapper in place of SIGTERM"),
    "a stub of it": (
        "/usr/bin/oci-systemd-runtime.containerd.crun",
        "SIGRTMIN+3",
        "by the wrapper in place of SIGTERM",
    ),
    "NRI and a plain handler": ("/usr/bin/runc", None, "unknown: its runtime is not the wrapper"),
    "the shim's own default": ("", None, "unknown: its runtime is not the wrapper"),
}


@pytest.mark.parametrize(("handler", "name", "words"), HANDLERS.values(), ids=HANDLERS)
def test_a_stop_hangs_on_the_handler(handler: str, name: str | None, words: str, node: Node) -> None:
    node.handler = handler
    node.container(ID, "containerd-1.7/systemd", RECORD)
    assert node.document()[0]["stop_signal"]["name"] == name
    assert words in " ".join(node.run().stdout.split())


def test_of_a_bundle_that_was_rewritten_offline_nobody_knows_who_stops_it(node: Node) -> None:
    bundle = node.bundle("containerd-1.7/systemd", RECORD)
    Path(bundle, "runtime").unlink()
    put(node.root, ID, state(bundle, dict(RECORD)))
    assert node.document()[0]["stop_signal"] == {"name": None, "number": None, "by": None}
    assert "unknown: its runtime may be the wrapper" in " ".join(node.run().stdout.split())


BUNDLES = {
    "that is gone": ("/nope", "cannot read: No such file or directory"),
    "an unknown bundle": ("", "runc state: no bundle"),
}


@pytest.mark.parametrize(("bundle", "problem"), BUNDLES.values(), ids=BUNDLES)
def test_a_container_with_a_bundle_has_its_row(bundle: str, problem: str, node: Node) -> None:
    put(node.root, ID, state(bundle, {**RECORD, **POD}))
    (row,) = node.document()
    assert (row["reason"], row["changes"], row["pod"], row["status"]) == (None, None, "vm", "running")
    assert row["problem"].endswith(problem)
    lines = node.run().stdout.splitlines()
    assert problem in lines[2]
    assert lines[3].endswith("unknown")


CONFIGS = {"no JSON": "{", "a wrong type": '{"mounts": {}}', "no object": "[]", "empty": ""}


@pytest.mark.parametrize("text", CONFIGS.values(), ids=CONFIGS)
def test_a_config_json_that_cannot_be_used_is_a_sentence(text: str, node: Node) -> None:
    node.container(ID, "containerd-1.7/systemd", RECORD)
    bundle = node.document()[0]["bundle"]
    Path(bundle, "config.json").write_text(text)
    (row,) = node.document()
    assert (row["version"], row["changes"]) == ("0.1.0", None)
    assert f"{bundle}/config.json: " in row["problem"]


NONE: dict[str, tuple[int, str]] = {
    "no container": (0, "no adjusted containers (0 containers on this node)\n"),
    "one": (1, "no adjusted containers (1 container on this node)\n"),
    "three": (3, "no adjusted containers (3 containers on this node)\n"),
}


@pytest.mark.parametrize(("count", "sentence"), NONE.values(), ids=NONE)
def test_where_none_was_adjusted_that_is_said(count: int, sentence: str, node: Node) -> None:
    for number in range(count):
        node.container(f"id{number}", "containerd-1.7/shell")
    assert (node.run().stdout, node.document()) == (sentence, [])


def test_an_empty_record_is_none(node: Node) -> None:
    node.container(ID, "containerd-1.7/systemd", {"io.systemd.container.adjusted": ""})
    assert node.document() == []


def test_a_runtime_that_fails_is_one_sentence_a_root_and_the_others_are_shown(node: Node) -> None:
    node.container("good", "containerd-1.7/systemd", RECORD)
    for id in ("bad1", "bad2", "bad3"):
        put(node.root, id, "echo broken >&2; exit 1")
    put(node.folder / "other", "bad4", "echo broken >&2; exit 1")
    result = node.run("--json", "--root", str(node.root), "--root", str(node.folder / "other"))
    assert (result.exit_code, [row["id"] for row in json.loads(result.stdout)]) == (0, ["good"])
    assert result.stderr.splitlines() == [
        f"oci-systemd: {node.bin}/runc state failed: broken; 3 containers are not shown (in {node.root})",
        f"oci-systemd: {node.bin}/runc state failed: broken; bad4 is not shown (in {node.folder}/other)",
    ]


def test_what_is_not_told_does_not_count_as_seen(node: Node) -> None:
    node.container("good", "containerd-1.7/shell")
    put(node.root, "bad", "exit 1")
    assert node.run().stdout == "no adjusted containers (1 readable container on this node)\n"


def test_containers_are_in_order(node: Node) -> None:
    for id, name, manager in (("a", "z", "libpod"), ("b", "y", "cri-o"), ("c", "x", "cri-o"), ("d", "x", "cri-o")):
        pod = {"io.kubernetes.pod.name": name, "io.kubernetes.pod.namespace": "n", "io.container.manager": manager}
        put(node.root, id, state("/nope", {**RECORD, **pod}))
    assert [row["id"] for row in node.document()] == ["c", "d", "b", "a"]


def test_both_runtimes_are_asked_in_one_root(node: Node) -> None:
    for kind in ("runc", "crun"):
        put(node.root, kind, state("/nope", dict(RECORD)), kind=kind)
    assert [(row["id"], row["runtime"]) for row in node.document()] == [("crun", "crun"), ("runc", "runc")]


def test_a_root_may_stand_above_those_of_a_handler(node: Node) -> None:
    put(node.folder / "above/k8s.io", "a", state("/nope", dict(RECORD)))
    put(node.folder / "above/moby", "b", state("/nope", dict(RECORD)))
    rows = node.document("--root", str(node.folder / "above"))
    assert [(row["id"], Path(row["root"]).name) for row in rows] == [("a", "k8s.io"), ("b", "moby")]


def test_a_root_that_is_none_is_a_sentence(node: Node) -> None:
    result = node.run("--root", str(node.folder / "nope"))
    assert (result.exit_code, result.stdout, result.stderr.count("\n")) == (2, "", 1)
    assert "not a directory" in result.stderr


def test_forty_containers_are_all_told(node: Node) -> None:
    bundle = node.bundle("containerd-1.7/systemd", RECORD)
    for number in range(40):
        put(node.root, f"id{number:02}", state(bundle, dict(RECORD)))
    assert [row["id"] for row in node.document()] == [f"id{number:02}" for number in range(40)]


# The program that answers, by the launcher that PATH has.
ANSWERS = {
    "PATH's": ("", [], "", "bin/runc"),
    "the launcher's": ("own/runc", [], "", "own/runc"),
    "the launcher's, of another version": ("own/runc-1.3", [], "", "own/runc-1.3"),
    "PATH's, where the launcher's is another kind": ("own/crun", [], "", "bin/runc"),
    "PATH's, where the launcher's is gone": ("gone/runc", [], "", "bin/runc"),
    "a stub's, where the launcher's is another kind": ("own/crun", ["own/runc"], "", "own/runc"),
    "the environment's": ("own/runc", [], "mine/runc", "mine/runc"),
}


@pytest.mark.parametrize(("launcher", "stubs", "environ", "answer"), ANSWERS.values(), ids=ANSWERS)
def test_who_is_asked_is(launcher: str, stubs: list[str], environ: str, answer: str, node: Node) -> None:
    for path in ("own/runc", "own/runc-1.3", "own/crun", "mine/runc", "bin/runc"):
        fake_runtime(node.folder / path).write_text(SCRIPT + f'echo "{path}" >>"{node.folder}/asked"\n')
    template = "#!/bin/sh\nosd_runtime=${OCI_SYSTEMD_RUNTIME:-@}\n"
    if launcher:
        fake_runtime(node.bin / "oci-systemd-runtime").write_text(template.replace("@", str(node.folder / launcher)))
    for number, stub in enumerate(stubs):
        path = node.bin / f"oci-systemd-runtime.docker.{number}"
        path.write_text(f"#!/bin/sh\nosd_runtime={node.folder / stub}\n. launcher\n")
    put(node.root, "one", state("/nope"))
    assert node.run(OCI_SYSTEMD_RUNTIME=str(node.folder / environ) if environ else "").exit_code == 0
    assert (node.folder / "asked").read_text() == f"{answer}\n"


@pytest.mark.parametrize("text", HOSTILE.values(), ids=HOSTILE)
def test_hostile_text_stays_text(text: str, node: Node) -> None:
    record = dict.fromkeys((*RECORD, *POD, "io.systemd.container", "nerdctl/name", "io.container.manager"), text)
    spec = json.loads((CORPUS / "containerd-1.7/systemd.expected.json").read_bytes())
    spec["process"]["args"] = [f"/{text}/systemd"]
    spec["process"]["env"] += [f"container={text}", f"container_uuid={text}"]
    spec["process"]["selinuxLabel"] = f"u:r:container_init_t:{text}"
    spec["linux"]["resources"]["unified"] = {"cgroup.max.descendants": text}
    del record["io.systemd.container"]
    put(node.root, ID, state(node.bundle(spec, record), dict(record), status=text or "x"))
    result = node.run()
    assert result.exit_code == 0
    assert all(line.isprintable() for line in result.stdout.split("\n"))
    assert max(map(len, result.stdout.split("\n"))) < 3000
    assert node.document()[0]["id"] == ID


def test_every_effect_has_its_words(node: Node) -> None:
    spec = json.loads((CORPUS / "containerd-1.7/systemd.expected.json").read_bytes())
    spec["process"]["selinuxLabel"] = "u:r:container_init_t:s0"
    spec["process"]["apparmorProfile"] = "lab"
    given = {"io.systemd.container.apparmor": "lab", "org.systemd.property.KillSignal": "37"}
    put(node.root, ID, state(node.bundle(spec, given), dict(RECORD)))
    assert {*PHRASES, "tmpfs"} == {change["what"] for change in node.document()[0]["changes"]}
    words = " ".join(node.run().stdout.split())  # lines are folded anywhere
    assert [phrase for phrase in PHRASES.values() if phrase.partition("{")[0] not in words] == []
    assert words.count("tmpfs at") == 1


HEADS = ["ENGINE", "POD", "ID"]
ROW = ["containerd", "default/a-pod-with-a-long-name", "0123456789ab"]
WIDTHS = {
    "wide enough": (80, [["ENGINE      POD                             ID"]], 1),
    "too narrow": (50, [["ENGINE      POD                       ID"]], 2),
    "beyond reason": (5, [["ENGINE      POD           ID"]], 3),
}


@pytest.mark.parametrize(("width", "head", "lines"), WIDTHS.values(), ids=WIDTHS)
def test_columns_are_folded_to_the_width(width: int, head: list[list[str]], lines: int, node: Node) -> None:
    shown = columns(HEADS, [ROW], width)
    assert shown[:1] == head
    assert len(shown[1]) == lines
    assert max(map(len, shown[1])) <= max(width, 40)
    assert "".join(line[12:-14].strip() if line is shown[1][0] else line.strip() for line in shown[1]) == ROW[1]


def test_a_column_without_a_value_has_no_place() -> None:
    assert columns(["A", "B", "C"], [["a", "", "c"], ["d", "", ""]], 80) == [["A  C"], ["a  c"], ["d"]]


def test_no_column_tells_what_a_terminal_obeys() -> None:
    assert columns(["A"], [["\x1b[31m\u202e"]], 80)[1] == ["\\x1b[31m\\u202e"]
    assert {*COLUMNS} & {*DETAILS} == set()
