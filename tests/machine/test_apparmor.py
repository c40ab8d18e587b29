"""AppArmor enforcing: systemd boots under each engine's default profile; with CAP_SYS_ADMIN it does not, and a message says so."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager

import pytest

from tests.machine.lab.cli import Cli
from tests.machine.lab.engines import WRAPPERS
from tests.machine.lab.life import Guest, booted
from tests.machine.lab.machine import Machine
from tests.machine.lab.pods import Kubelet, Rights

pytestmark = pytest.mark.engine

IMAGE = "debian-13"
ENABLED = "/sys/module/apparmor/parameters/enabled"
PROFILES = {
    "containerd": "cri-containerd.apparmor.d (enforce)",
    "docker": "docker-default (enforce)",
    "podman": "containers-default-",
}
KEY = "io.systemd.container.apparmor"
SETTINGS = "/etc/oci-systemd/config.toml"
TOLD = "denies mounts, and with CAP_SYS_ADMIN systemd mounts at its start: it will exit"


@pytest.fixture(params=PROFILES)
def engine(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def allowed(machine: Machine) -> Iterator[None]:
    machine.write(SETTINGS, f'[security]\nallow = ["{KEY}"]\n')
    yield
    machine.run("rm", SETTINGS)


def container(
    kubelet: Kubelet, engine: str, *, admin: bool = False, unconfined: bool = False, asked: str = ""
) -> AbstractContextManager[Guest]:
    """A container of an engine: with CAP_SYS_ADMIN, without a profile by the engine's own words, or with the annotation."""
    if engine == "containerd":
        rights = Rights(add=["SYS_ADMIN"] if admin else [], apparmor="Unconfined" if unconfined else "RuntimeDefault")
        annotations = {"apparmor": asked} if asked else {}
        return kubelet.pod(WRAPPERS["runc"], IMAGE, rights=rights, **annotations)
    return cli(kubelet.machine, engine, admin=admin, unconfined=unconfined, asked=asked).container(IMAGE)


def cli(machine: Machine, engine: str, *, admin: bool, unconfined: bool, asked: str) -> Cli:
    options: Sequence[str] = [] if engine == "docker" else ["--runtime", WRAPPERS["runc"]]
    own = ["--runtime", WRAPPERS["runc"]] if engine == "docker" else ["--systemd=false", "--network=none"]
    words = ["--cap-add=SYS_ADMIN"] if admin else []
    words += ["--security-opt=apparmor=unconfined"] if unconfined else []
    words += [f"--annotation={KEY}={asked}"] if asked else []
    return Cli(machine, engine, options, [*own, *words])


def confinement(guest: Guest) -> str:
    """What the kernel says of the first process."""
    return guest.machine.output("cat", f"/proc/{guest.pid()}/attr/current")


def told(guest: Guest) -> str:
    lines = guest.machine.output("journalctl", "--identifier=oci-systemd", "--output=cat", "--lines=50").splitlines()
    return "\n".join(line for line in lines if guest.id in line)


def test_systemd_boots_under_the_engine_s_default_profile(kubelet: Kubelet, engine: str) -> None:
    assert kubelet.machine.output("cat", ENABLED) == "Y"
    with container(kubelet, engine) as guest:
        assert booted(guest) == "running"
        assert confinement(guest).startswith(PROFILES[engine])
        assert confinement(guest).endswith("(enforce)")
        assert TOLD not in told(guest)


def test_a_default_profile_with_cap_sys_admin_ends_it_and_is_told(kubelet: Kubelet, engine: str) -> None:
    with container(kubelet, engine, admin=True) as guest:
        assert booted(guest) in ("stopped", "")
        assert TOLD in told(guest)


def test_unconfined_with_cap_sys_admin_boots(kubelet: Kubelet, engine: str) -> None:
    with container(kubelet, engine, admin=True, unconfined=True) as guest:
        assert booted(guest) == "running"
        assert TOLD not in told(guest)


def test_the_annotation_takes_the_profile_away(kubelet: Kubelet, allowed: None) -> None:
    with container(kubelet, "containerd", admin=True, asked="unconfined") as guest:
        assert booted(guest) == "running"
        assert "(enforce)" not in confinement(guest)


def test_the_annotation_names_a_profile(kubelet: Kubelet, allowed: None) -> None:
    with container(kubelet, "podman", asked="docker-default") as guest:
        assert booted(guest) == "running"
        assert confinement(guest) == PROFILES["docker"]


def test_the_annotation_needs_the_node_s_owner(kubelet: Kubelet) -> None:
    called = cli(kubelet.machine, "docker", admin=False, unconfined=False, asked="unconfined")
    done = called.call(*called.words(IMAGE, options=["--detach"]))
    assert done.returncode != 0
    assert f"annotation {KEY}: not allowed on this node" in done.stderr
