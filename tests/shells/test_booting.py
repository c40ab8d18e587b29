"""An exec while systemd boots: the launcher holds it back until systemd has enabled the controllers of its cgroup."""

from __future__ import annotations

import os
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from oci_systemd.host import booting
from tests.shells.conftest import spec
from tests.shells.wrapper import Wrapper, library

CONTROLLERS = "cpu memory pids\n"
ENOUGH = 0.4  # seconds in which a call that waits for nothing has long ended
EXEC = ["--root", "/r", "exec", "--process", "/p.json", "--detach", "--pid-file", "/x", "ID"]


@pytest.fixture
def place() -> Iterator[Path]:
    folder = Path(library(), "run", "booting")
    folder.mkdir(parents=True, exist_ok=True)
    yield folder
    for each in folder.iterdir():
        each.unlink()


@pytest.fixture
def cgroup(tmp_path: Path) -> Path:
    """A cgroup that has controllers and has enabled none for the cgroups below it."""
    made = tmp_path / "cgroup"
    made.mkdir()
    (made / "cgroup.controllers").write_text(CONTROLLERS)
    (made / "cgroup.subtree_control").write_text("")
    return made


def started(wrapper: Wrapper, **options: Any) -> subprocess.Popen[bytes]:
    return subprocess.Popen([wrapper.path, *EXEC], **options)


def test_an_exec_waits_until_the_controllers_are_enabled(wrapper: Wrapper, place: Path, cgroup: Path) -> None:
    (place / "ID").write_text(f"{cgroup}\n")
    with started(wrapper) as call:
        time.sleep(ENOUGH)
        assert call.poll() is None
        assert wrapper.words() is None
        (cgroup / "cgroup.subtree_control").write_text(CONTROLLERS)
        assert call.wait(10) == 7
    assert wrapper.words() == EXEC
    assert not (place / "ID").exists()


@pytest.mark.parametrize(
    "case", ["another container boots", "no controllers", "none is wanted", "cgroup v1", "empty", "enabled"]
)
def test_an_exec_that_is_in_nobody_s_way_does_not_wait(wrapper: Wrapper, place: Path, cgroup: Path, case: str) -> None:
    (place / ("OTHER" if case == "another container boots" else "ID")).write_text(
        "" if case == "empty" else f"{cgroup}\n"
    )
    if case == "no controllers":
        (cgroup / "cgroup.controllers").write_text("")
    if case == "none is wanted":
        (cgroup / "system.slice").mkdir()
    if case == "cgroup v1":
        (cgroup / "cgroup.controllers").unlink()
    if case == "enabled":
        (cgroup / "cgroup.subtree_control").write_text("memory pids\n")
    sleeps = never(wrapper)
    result = wrapper.run(*EXEC, env={**os.environ, "PATH": f"{sleeps.parent}:{os.environ['PATH']}"})
    assert (result.returncode, result.stdout, result.stderr) == (7, "", "")
    assert wrapper.words() == EXEC
    assert not sleeps.with_suffix(".log").exists()


def test_an_exec_waits_at_most_ten_seconds(wrapper: Wrapper, place: Path, cgroup: Path) -> None:
    (place / "ID").write_text(f"{cgroup}\n")
    sleeps = never(wrapper)
    result = wrapper.run(*EXEC, env={**os.environ, "PATH": f"{sleeps.parent}:{os.environ['PATH']}"})
    assert (result.returncode, result.stdout, result.stderr) == (7, "", "")
    assert sum(map(float, sleeps.with_suffix(".log").read_text().split())) == pytest.approx(10)
    assert not (place / "ID").exists()


def never(wrapper: Wrapper) -> Path:
    """A `sleep` that takes no time, and writes down what it was asked for."""
    path = wrapper.folder / "bin" / "sleep"
    path.parent.mkdir()
    path.write_text(f'#!/bin/sh\necho "$1" >>{path}.log\n')
    path.chmod(0o755)
    return path


def test_the_standard_input_is_the_command_s(wrapper: Wrapper, place: Path, cgroup: Path) -> None:
    (place / "ID").write_text(f"{cgroup}\n")
    wrapper.runtime.write_text(f"#!/bin/sh\ncat >{wrapper.out}/input\n")
    with started(wrapper, stdin=subprocess.PIPE) as call:
        time.sleep(ENOUGH)
        (cgroup / "cgroup.subtree_control").write_text(CONTROLLERS)
        call.communicate(b"one\ntwo\n")
    assert (wrapper.out / "input").read_text() == "one\ntwo\n"


CREATED = {
    "cgroupfs": ([], "/kubepods/pod1/ID", "/sys/fs/cgroup/kubepods/pod1/ID"),
    "systemd": (["--systemd-cgroup"], "a-b.slice:cri:ID", "/sys/fs/cgroup/a.slice/a-b.slice/cri-ID.scope"),
    "crun's systemd": (["--cgroup-manager=systemd"], "a.slice:cri:ID", "/sys/fs/cgroup/a.slice/cri-ID.scope"),
}


@pytest.mark.parametrize(("options", "path", "cgroup"), CREATED.values(), ids=CREATED)
def test_a_wanted_container_is_noted_with_its_cgroup(
    wrapper: Wrapper, place: Path, options: list[str], path: str, cgroup: str
) -> None:
    folder = wrapper.bundle(with_cgroup(spec("/sbin/init"), path))
    assert wrapper.run(*options, "create", "--bundle", folder, "ID").returncode == 7
    assert (place / "ID").read_text() == f"{cgroup}\n"


UNNOTED = {
    "not wanted": (spec("sleep"), "/pods/ID", "ID"),
    "the runtime chooses the cgroup": (spec("/sbin/init"), "", "ID"),
    "a path relative to the runtime's own cgroup": (spec("/sbin/init"), "pods/ID", "ID"),
    "an ID that is a path": (spec("/sbin/init"), "/pods/ID", "../ID"),
    "a hidden file": (spec("/sbin/init"), "/pods/ID", ".ID"),
}


@pytest.mark.parametrize(("given", "path", "id"), UNNOTED.values(), ids=UNNOTED)
def test_no_other_container_is_noted(wrapper: Wrapper, place: Path, given: dict[str, Any], path: str, id: str) -> None:
    assert wrapper.run("create", "--bundle", wrapper.bundle(with_cgroup(given, path)), id).returncode == 7
    assert [*place.iterdir()] == []


def test_a_later_create_removes_old_notes(wrapper: Wrapper, place: Path) -> None:
    for name, age in (("old", booting.OLD + 1), ("young", booting.OLD / 2)):
        (place / name).touch()
        os.utime(place / name, (time.time() - age,) * 2)
    assert (
        wrapper.run("create", "--bundle", wrapper.bundle(with_cgroup(spec("/sbin/init"), "/ID")), "ID").returncode == 7
    )
    assert {each.name for each in place.iterdir()} == {"young", "ID"}


def test_a_place_that_is_not_writable_changes_nothing(wrapper: Wrapper, place: Path) -> None:
    place.rmdir()
    place.touch()
    try:
        folder = wrapper.bundle(with_cgroup(spec("/sbin/init"), "/ID"))
        assert wrapper.run("create", "--bundle", folder, "ID").returncode == 7
    finally:
        place.unlink()
        place.mkdir()


def with_cgroup(given: dict[str, Any], path: str) -> dict[str, Any]:
    return {**given, "linux": {**given["linux"], "cgroupsPath": path}}
