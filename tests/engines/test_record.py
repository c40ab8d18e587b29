"""The record of what was written: it is read back unchanged, and an invalid one is an error that says what it is for."""

from __future__ import annotations

import json
from typing import Any

import pytest

from oci_systemd.core.errors import Problem
from oci_systemd.engines.record import Entry, Original, Piece, Record, path, read, written
from tests.engines.build import Node

WHOLE = Record(
    (
        Entry("/a", ("x", "y.z"), '"old"', {"k": [1, True, None, 1.5, "ä\ud800"]}, 2, ("a", "b")),
        Entry("/b", (), None, "#!", 0, ("a",)),
    ),
    (Piece("/a", "a", "was\n", "now\n"),),
    (Original("/a", "all\n", "of it\n"),),
    ("/b",),
    ("/c", "/c/d"),
    "systemctl restart x",
)


def test_record_comes_back() -> None:
    text = written(WHOLE)
    assert text is not None
    assert read(text, "docker") == WHOLE
    assert read(None, "docker") == Record()
    assert written(Record(created=("/x",))) is None
    assert WHOLE.handlers == ["a", "b"]


def value(**changes: Any) -> dict[str, Any]:
    text = written(WHOLE)
    assert text is not None
    return dict(json.loads(text)) | changes


def entry(**changes: Any) -> dict[str, Any]:
    return {"entries": [dict(value()["entries"][0]) | changes]}


DAMAGED: dict[str, Any] = {
    "no JSON": "{",
    "nothing": "",
    "a list": [],
    "a string": "x",
    "null": None,
    "no version": {key: each for key, each in value().items() if key != "version"},
    "nothing but a version": {"version": 1},
    "entries that are not a list": value(entries={}) | {"entries": 1},
    "an entry that is not an object": value(entries=["x"]),
    "an entry without its place": value(entries=[{"file": "/a"}]),
    "a file that is a number": value(**entry(file=1)),
    "a place as a string": value(**entry(at="version")),
    "a place of numbers": value(**entry(at=[1])),
    "a text that is a number": value(**entry(was=1)),
    "a count as a string": value(**entry(made="1")),
    "handlers as a string": value(**entry(handlers="ab")),
    "pieces of numbers": value(pieces=[{"file": "/a", "handler": "a", "was": 1, "now": ""}]),
    "originals that are not an object": value(originals=[1]),
    "files as a string": value(created="/a"),
    "folders of lists": value(folders=[[]]),
    "a whole file in a format without text": value(**entry(at=[])),
    "a file that is ours as a whole and in parts": value(
        entries=[*value()["entries"], *value(**entry(file="/b"))["entries"]]
    ),
    "no command": {key: each for key, each in value().items() if key != "restart"},
    "nested beyond reading": "[" * 100000,
}


@pytest.mark.parametrize("damaged", DAMAGED.values(), ids=DAMAGED)
def test_damaged_record_is_told(damaged: Any) -> None:
    text = damaged if isinstance(damaged, str) and damaged != "x" else json.dumps(damaged)
    with pytest.raises(Problem, match=r"docker\.json: damaged \(.*restore it, or remove it"):
        read(text, "docker")


@pytest.mark.parametrize("version", [0, 2, "1", None])
def test_record_of_another_version_is_told(version: Any) -> None:
    with pytest.raises(Problem, match="written by another version"):
        read(json.dumps(value(version=version)), "docker")


@pytest.mark.parametrize("damage", ["{", '{"version": 2}', "[]"])
def test_nothing_is_done_with_a_damaged_record(damage: str) -> None:
    node = Node("docker", {})
    node.install()
    node.files[path("docker")] = damage
    before = dict(node.files)
    for act in (node.install, node.uninstall):
        with pytest.raises(Problem):
            act()
    assert node.files == before


def test_record_that_was_removed_is_made_anew_of_what_is_not_there_by_hand() -> None:
    """Existing text then counts as somebody else's and is unchanged; only what install adds is ours."""
    node = Node("docker", {"/etc/docker/daemon.json": "{}"})
    node.install(default=True)
    node.files = node.others
    assert node.install(default=True).changes == []
    node.edit('"default-runtime": "systemd"', '"default-runtime": "runc"')
    node.install(default=True)
    node.uninstall()
    assert node.value()["default-runtime"] == "runc"


@pytest.mark.parametrize("engine", ["docker", "crio"])
def test_text_in_the_record_that_cannot_be_put_back_is_told(engine: str) -> None:
    node = Node("docker", {"/etc/docker/daemon.json": '{"default-runtime": "x"}'})
    if engine == "crio":
        node = Node("crio", {"/etc/crio/crio.conf.d/50-oci-systemd.conf": '[crio.runtime]\ndefault_runtime = "x"\n'})
    node.install(default=True)
    node.files[node.own] = node.files[node.own].replace('"was": "\\"x\\""', '"was": "{"')
    with pytest.raises(Problem, match=r": damaged"):
        node.uninstall()
