"""Installing and removing a handler while the engines run: systemd reloads them, and their own answers are checked."""

import json
import tomllib
from collections.abc import Callable
from typing import Any

import pytest

from tests.machine.lab.cli import Cli
from tests.machine.lab.life import assert_whole, live, until
from tests.machine.lab.machine import Machine

pytestmark = pytest.mark.engine

HANDLER = "spare"
FILES = "find /etc/containerd /etc/docker /etc/containers /usr/bin/oci-systemd* -type f -exec sha256sum {} +"
TO_RELOAD = 60


def in_containerd(machine: Machine) -> Any:
    loaded = tomllib.loads(machine.output("containerd", "config", "dump"))
    return loaded["plugins"]["io.containerd.grpc.v1.cri"]["containerd"]["runtimes"]


def in_docker(machine: Machine) -> Any:
    return json.loads(machine.output("docker", "info", "--format", "{{json .Runtimes}}"))


# How an engine shows what is in effect, and how it learns of a change: Docker reloads its files, and its containers keep running.
ENGINES: dict[str, tuple[Callable[[Machine], Any], str]] = {
    "containerd": (in_containerd, "systemctl restart containerd"),
    "docker": (in_docker, "systemctl reload docker"),
}


def install(machine: Machine, engine: str) -> str:
    return machine.output("oci-systemd", "install", engine, "--handler", HANDLER, "--restart=auto")


def uninstall(machine: Machine, engine: str) -> str:
    return machine.output("oci-systemd", "uninstall", engine, "--handler", HANDLER, "--restart=auto")


def started(machine: Machine, engine: str) -> str:
    """When the engine's service did last; with its state."""
    return machine.output("systemctl", "show", "-P", "ActiveState,ExecMainStartTimestampMonotonic", engine)


@pytest.mark.parametrize("engine", ENGINES)
def test_an_engine_takes_a_handler_at_once_and_forgets_it_again(machine: Machine, engine: str) -> None:
    in_effect, command = ENGINES[engine]
    files = machine.script(FILES)
    assert f"done: {command}" in install(machine, engine)
    try:
        # A reload is no more than begun when systemd calls it done.
        assert HANDLER in until(lambda: str(in_effect(machine)), lambda names: HANDLER in names, TO_RELOAD)
        before = started(machine, engine)
        assert "nothing to do" in install(machine, engine)
        assert started(machine, engine) == before
        if engine == "docker":
            assert_stays_while_needed(machine)
    finally:
        said = uninstall(machine, engine)
    assert f"done: systemctl restart {engine}" in said
    assert HANDLER not in in_effect(machine)
    assert machine.script(FILES) == files


def assert_stays_while_needed(machine: Machine) -> None:
    with Cli(machine, "docker", run=["--runtime", HANDLER]).container("debian-13") as guest:
        refused = machine.run("oci-systemd", "uninstall", "docker", "--handler", HANDLER, check=False)
        assert refused.returncode != 0
        assert f"a container of docker still uses the wrapper ({guest.id[:12]})" in refused.stderr
        assert_whole(live(guest))


def test_podman_needs_to_be_told_nothing(machine: Machine) -> None:
    files = machine.script(FILES)
    cli = Cli(machine, "podman", ["--runtime", HANDLER], ["--rm", "--network=none"])
    assert "systemctl" not in install(machine, "podman")
    assert cli.call(*cli.words("busybox", "true")).returncode == 0
    uninstall(machine, "podman")
    assert cli.call(*cli.words("busybox", "true")).returncode != 0
    assert machine.script(FILES) == files


def failed(machine: Machine) -> dict[str, str]:
    """What doctor finds wrong, each with its remedy; its exit code says the same."""
    done = machine.run("oci-systemd", "doctor", "--json", check=False)
    found = {each["subject"]: each["remedy"] for each in json.loads(done.stdout) if each["status"] == "fail"}
    assert done.returncode == (1 if found else 0)
    return found


def test_doctor_finds_nothing_wrong(machine: Machine) -> None:
    assert failed(machine) == {}


def test_doctor_sees_that_limits_hold_no_more(machine: Machine) -> None:
    """What criu leaves behind when it makes a checkpoint."""
    machine.run("mount", "-t", "cgroup2", "cgroup2", "/mnt")
    try:
        assert "mount -o remount,nsdelegate /sys/fs/cgroup" in failed(machine)["nsdelegate"]
    finally:
        machine.script("umount /mnt; mount -o remount,nsdelegate /sys/fs/cgroup")
    assert failed(machine) == {}
