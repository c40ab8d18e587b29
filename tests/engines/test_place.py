"""Which engine a machine has, and how it learns of a change."""

from __future__ import annotations

import pytest

from oci_systemd.core.errors import Problem
from oci_systemd.engines.engines import ENGINES, command_of
from oci_systemd.engines.launcher import NAME, is_ours, runtime_of, stub
from oci_systemd.engines.place import Place, find
from oci_systemd.engines.wanted import Wanted
from tests.engines.build import Files

K3S, RKE2, K0S, MICROK8S, PLAIN = ENGINES["containerd"].PLACES

FOUND = {
    "a program": ("containerd", ["/usr/bin/containerd"], "/etc/containerd/config.toml"),
    "a file": ("containerd", ["/etc/containerd/config.toml"], "/etc/containerd/config.toml"),
    "k3s": ("containerd", [f"{K3S.signs[0]}/config.toml"], K3S.main),
    "rke2": ("containerd", [f"{RKE2.signs[0]}/config.toml"], RKE2.main),
    "k0s": ("containerd", ["/var/lib/k0s/bin/containerd"], K0S.main),
    "microk8s": ("containerd", [f"{MICROK8S.signs[0]}/x"], MICROK8S.main),
    "CRI-O": ("crio", ["/etc/crio/crio.conf.d/10-crio.conf"], "/etc/crio/crio.conf"),
    "Docker": ("docker", ["/usr/local/bin/dockerd"], "/etc/docker/daemon.json"),
    "podman": ("podman", ["/usr/bin/podman"], "/etc/containers/containers.conf"),
}


@pytest.mark.parametrize(("engine", "files", "main"), FOUND.values(), ids=FOUND)
def test_engine_is_found(engine: str, files: list[str], main: str) -> None:
    assert find(Files(dict.fromkeys(files, "")), engine, ENGINES[engine].PLACES, "").main == main


@pytest.mark.parametrize("engine", ENGINES)
def test_engine_that_is_not_here_is_told(engine: str) -> None:
    with pytest.raises(Problem, match=f"{engine}: not found; install it, or pass --config FILE"):
        find(Files({}), engine, ENGINES[engine].PLACES, "")


def test_two_of_them_are_named_both() -> None:
    files = Files({"/usr/bin/containerd": "", f"{K3S.signs[0]}/config.toml": ""})
    with pytest.raises(Problem) as error:
        find(files, "containerd", ENGINES["containerd"].PLACES, "")
    for part in ("found more than once", f"--config {K3S.main} (k3s)", f"--config {PLAIN.main} (containerd)"):
        assert part in str(error.value)


@pytest.mark.parametrize("place", ENGINES["containerd"].PLACES, ids=lambda place: str(place.title))
def test_the_file_that_is_named_tells_which(place: Place) -> None:
    assert find(Files({}), "containerd", ENGINES["containerd"].PLACES, place.main) is not None
    assert find(Files({}), "containerd", ENGINES["containerd"].PLACES, place.main) == place


def test_a_data_directory_in_another_place_tells_the_distribution() -> None:
    main = "/data/agent/etc/containerd/config.toml"
    place = find(Files({}), "containerd", ENGINES["containerd"].PLACES, main)
    assert (place.main, place.restart, place.bins) == (main, K3S.restart + RKE2.restart, K3S.bins + RKE2.bins)
    units = Files({"/etc/systemd/system/rke2-agent.service": ""})
    assert command_of(units, place.restart) == "systemctl restart rke2-agent"


def test_a_file_in_another_place_is_the_engine_s_own() -> None:
    place = find(Files({}), "containerd", ENGINES["containerd"].PLACES, "/srv/c.toml")
    assert (place.main, place.title, place.restart) == ("/srv/c.toml", "containerd", PLAIN.restart)


COMMANDS = {
    "the unit that is there": (["/usr/lib/systemd/system/k3s-agent.service"], K3S.restart, "systemctl restart k3s-agent"),
    "the first of two": (
        [f"/etc/systemd/system/{each}.service" for each in ("k3s", "k3s-agent")],
        K3S.restart,
        "systemctl restart k3s",
    ),
    "the one that is enabled": (
        [
            *(f"/usr/local/lib/systemd/system/rke2-{each}.service" for each in ("server", "agent")),
            "/etc/systemd/system/multi-user.target.wants/rke2-agent.service",
        ],
        RKE2.restart,
        "systemctl restart rke2-agent",
    ),
    "none: the usual": ([], K3S.restart, "systemctl restart k3s"),
    "none is needed": (["/etc/systemd/system/k0sworker.service"], K0S.restart, ""),
}  # fmt: skip


@pytest.mark.parametrize(("files", "commands", "command"), COMMANDS.values(), ids=COMMANDS)
def test_how_the_engine_is_told(files: list[str], commands: tuple[str, ...], command: str) -> None:
    assert command_of(Files(dict.fromkeys(files, "")), commands) == command


@pytest.mark.parametrize("handler", ["systemd", "a", "0", "a-b", "a" * 63])
def test_name_that_a_runtime_class_takes(handler: str) -> None:
    assert Wanted(handler, "/x", "/y").handler == handler


@pytest.mark.parametrize(
    "handler", ["", "A", "-a", "a-", "a.b", "a_b", "a b", "a/b", "..", "ä", "a\n", "\x1b[31m", "a" * 64, '"', "{{x}}"]
)
def test_name_that_it_does_not_take(handler: str) -> None:
    with pytest.raises(Problem, match="invalid; use up to 63"):
        Wanted(handler, "/x", "/y")


@pytest.mark.parametrize("program", ["", "x", "./x", "/a\nb", "/a\x1b", "/\udcff"])
def test_program_without_a_full_path_is_refused(program: str) -> None:
    for words in ((program, "/y"), ("/x", program)):
        if program:
            with pytest.raises(Problem, match="invalid; use an absolute path of printable letters"):
                Wanted("a", *words)


@pytest.mark.parametrize(
    ("program", "ours"),
    [
        ("/usr/bin/oci-systemd-runtime", True),
        ("/opt/x/oci-systemd-runtime.crio.systemd", True),
        ("oci-systemd-runtime", True),
        ("/usr/bin/oci-systemd", False),
        ("/oci-systemd-runtime/runc", False),
        ("", False),
    ],
)
def test_what_is_ours(program: str, ours: bool) -> None:
    assert is_ours(program) is ours


def test_stub_names_its_runtime() -> None:
    path, text = stub(f"/usr/bin/{NAME}", "/opt/crun-1.2:x@y=z+", "crio", "systemd")
    assert path == "/usr/bin/oci-systemd-runtime.crio.systemd"
    assert is_ours(path)
    assert runtime_of(text) == "/opt/crun-1.2:x@y=z+"


@pytest.mark.parametrize(
    "path", ["/opt/my crun", "/opt/$(reboot)", "/opt/a;b", "/opt/ä", "crun", "/opt/'x'", "/opt/a\nb"]
)
def test_path_that_a_script_cannot_hold_is_refused(path: str) -> None:
    for words in ((f"/usr/bin/{NAME}", path), (path, "/usr/bin/crun")):
        with pytest.raises(Problem, match="unsupported in a script"):
            stub(*words, "crio", "systemd")
