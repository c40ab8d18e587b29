"""`oci-systemd explain`, in-process: for people and for machines."""

import json
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from oci_systemd.cli import cli
from oci_systemd.core.edits import KINDS
from oci_systemd.host.machine import this_host

CORPUS = Path(__file__).parent.parent / "corpus"
KEYS = ["wanted", "asked", "reason", "edits", "kept", "warnings", "refused"]
SPECS = sorted(CORPUS.glob("*/*.json"))


def run(*words: object, stdin: bytes | None = None) -> Result:
    return CliRunner(env={"OCI_SYSTEMD_CONFIG": ""}).invoke(cli, ["explain", *map(str, words)], input=stdin)


def spec(name: str) -> Path:
    return CORPUS / f"{name}.json"


def edited(name: str, **annotations: str) -> bytes:
    value = json.loads(spec(name).read_bytes())
    value.setdefault("annotations", {}).update(annotations)
    return json.dumps(value).encode()


def document(result: Result) -> dict[str, Any]:
    value = json.loads(result.stdout)
    assert list(value) == KEYS
    return dict(value)


SAYS = {
    "wanted": (
        "containerd-2.1/systemd",
        ("wanted: yes\nreason: the command /sbin/init is an init\nchanges\n", "mount tmpfs at /run"),
    ),
    "not wanted": ("runc/spec", ("wanted: no\nreason: the command 'sh' is not systemd\nchanges\n  none\n",)),
    "a sandbox": ("containerd-2.1/sandbox", ("wanted: no\nreason: it is a pod's sandbox\n",)),
    "opted out": ("containerd-2.1/opted-out", ('annotation io.systemd.container is "false"',)),
    "asked": ("docker/annotated", ('wanted: yes\nreason: annotation io.systemd.container is "true"\n',)),
    "kept": ("containerd-2.1/cgroup-writable", ("unchanged", "mount at /sys/fs/cgroup", "already writable")),
    "a warning": ("containerd-2.1/run-as-user", ("warnings", "the user is 1000, not 0")),
    "an obstacle": (
        "containerd-2.1/cgroup-bind",
        ("wanted: no\nreason: the command", ", but the mount at /sys/fs/cgroup"),
    ),
}


@pytest.mark.parametrize(("name", "texts"), SAYS.values(), ids=SAYS)
def test_people_read(name: str, texts: tuple[str, ...]) -> None:
    result = run(spec(name))
    assert (result.exit_code, result.stderr) == (0, "")
    for text in texts:
        assert text in result.stdout


def test_this_host_decides_by_this_machines_cgroups() -> None:
    told = document(run("--json", "--this-host", spec("containerd-2.1/systemd")))
    host = this_host()
    assert told["wanted"] is (host.cgroup_v2 and host.nsdelegate)


@pytest.mark.parametrize("name", ["containerd-2.1/cgroup-bind", "containerd-2.1/host-pid"])
def test_a_reason_is_told_once(name: str) -> None:
    text, value = run(spec(name)).stdout, document(run("--json", spec(name)))
    assert value["warnings"]
    assert text.count("reason: ") == 1
    assert "warnings" not in text
    assert value["reason"] in text.splitlines()[1]


def test_every_change_stands_beside_its_reason() -> None:
    lines = run(spec("containerd-2.1/systemd")).stdout.splitlines()
    reasons = [edit["reason"] for edit in document(run("--json", spec("containerd-2.1/systemd")))["edits"]]
    assert reasons
    for reason in reasons:
        assert any(line.startswith("  ") and line.endswith("  " + reason) for line in lines)


@pytest.mark.parametrize("path", SPECS, ids=[f"{path.parent.name}/{path.stem}" for path in SPECS])
def test_machines_read_the_same_keys_of_every_real_spec(path: Path) -> None:
    result = run("--json", path)
    value = document(result)
    assert result.exit_code == (2 if value["refused"] else 0)
    for edit in value["edits"]:
        assert edit["kind"] in {kind.__name__ for kind in KINDS}
        assert edit["text"]
        assert edit["reason"]
    assert all(set(kept) == {"what", "reason"} for kept in value["kept"])


def test_machines_read_what_an_edit_does() -> None:
    edits = document(run("--json", "--id", "a" * 64, spec("containerd-2.1/systemd")))["edits"]
    found = {edit["kind"]: edit for edit in edits}
    assert found["AddMount"]["mount"]["type"] == "tmpfs"
    assert {"name": "container_uuid", "value": "a" * 32}.items() <= next(
        edit.items() for edit in edits if edit.get("name") == "container_uuid"
    )
    assert found["SetMountOptions"]["destination"] == "/sys/fs/cgroup"


@pytest.mark.parametrize("as_json", [True, False], ids=["json", "text"])
def test_a_refused_container_tells_every_sentence_and_ends_with_2(as_json: bool) -> None:
    words = ("--annotation", "io.systemd.container.cgroup=x", "--annotation", "io.systemd.container.machine-id=y")
    result = run(*(["--json"] if as_json else []), *words, spec("containerd-2.1/annotated"))
    assert (result.exit_code, result.stderr) == (2, "")
    if as_json:
        value = document(result)
        assert [value[key] for key in KEYS[:3]] == [None] * 3
        assert len(value["refused"]) == 2
    else:
        assert result.stdout.startswith("refused")
        assert len(result.stdout.splitlines()) == 3


def test_what_cannot_be_used_is_a_sentence(tmp_path: Path) -> None:
    result = run(tmp_path)
    assert (result.exit_code, result.stdout, result.stderr.count("\n")) == (2, "", 1)


SIDECARS = {
    "the plain key of a pod": ("containerd-2.1/annotated", {}, True),
    "the key for one container": ("containerd-2.1/pair-main", {}, False),
    "no pod": ("docker/annotated", {}, False),
    "systemd by its name": ("containerd-2.1/systemd", {}, False),
    "both keys": ("containerd-2.1/annotated", {"io.systemd.container/main": "true"}, False),
}


@pytest.mark.parametrize(("name", "annotations", "told"), SIDECARS.values(), ids=SIDECARS)
def test_that_sidecars_are_reached_too_is_told_for(name: str, annotations: dict[str, str], told: bool) -> None:
    data = edited(name, **annotations)
    assert ("injected sidecars too" in run("-", stdin=data).stdout) == told
    assert any("sidecars" in text for text in document(run("--json", "-", stdin=data))["warnings"]) == told


def test_options_count_here_too() -> None:
    words = ("--set", "env.container=lab", "--annotation", "io.systemd.container=true", "--id", "b" * 64)
    text = run(*words, spec("runc/spec")).stdout
    assert "environment container=lab" in text
    assert "b" * 32 in text


HOSTILE = {
    "newline": "a\nwanted: yes",
    "escape": "\x1b]0;title\x07\x1b[2J",
    "c1": "\x9b31m",
    "right to left": "\u202egnp",
    "half a pair": "\ud800",
    "long": "x" * 100_000,
}


@pytest.mark.parametrize("text", HOSTILE.values(), ids=HOSTILE)
def test_hostile_text_stays_text(text: str) -> None:
    value = json.loads(spec("containerd-2.1/systemd").read_bytes())
    value["process"]["env"] += [f"container_uuid={text}", f"container_uuid={text}"]
    value["process"]["selinuxLabel"] = f"u:r:container_t:{text}"
    value["annotations"]["io.systemd.container." + text] = text
    data = json.dumps(value).encode()
    result = run("-", stdin=data)
    assert result.exit_code == 0
    assert all(line.isprintable() for line in result.stdout.split("\n"))
    assert max(map(len, result.stdout.split("\n"))) < 2000
    assert document(run("--json", "-", stdin=data))["wanted"] is True
