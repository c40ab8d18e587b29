"""What `doctor` sees of an engine: by its files, by its program, and by itself where it runs; and when a process began."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import threading
import time
from contextlib import closing, suppress
from pathlib import Path

import pytest

from oci_systemd.engines.engines import ENGINES
from oci_systemd.host.tree import Tree
from oci_systemd.installation import docker_api, facts, installed, running
from oci_systemd.installation.checks import CHECKS, FAIL, PASS, WARN, Facts, Finding, Machine
from tests.installation.test_checks import GOOD
from tests.shells.test_cli_install import done, program
from tests.shells.test_cli_install import root as root
from tests.shells.test_cli_transaction import Cri


def findings(root: Path, engine: str) -> list[Finding]:
    """The messages about an engine below a root."""
    machine: Machine = GOOD
    found = facts.engine(Tree(str(root)), engine, ENGINES[engine].PLACES[-1])
    return list(CHECKS["engines"](Facts(machine, engines=[found])))


@pytest.fixture
def here(root: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A root that is worked in: a socket's path has few bytes."""
    monkeypatch.chdir(root)
    return root


RUNNING = {
    "it serves the handler": (
        ["crun", "systemd"],
        PASS,
        "has handler systemd in effect (the running engine was asked)",
    ),
    "it has dropped the handler": (["crun"], FAIL, "runs without handler systemd, which its files have"),
    "it does not say": ([], PASS, "has handler systemd in effect (its files were read)"),
}


@pytest.mark.parametrize(("names", "status", "said"), RUNNING.values(), ids=RUNNING)
def test_engine_that_runs_is_asked(names: list[str], status: str, said: str, here: Path) -> None:
    done(here, "install", "crio")
    cri = Cri(Path("run/crio/crio.sock"))
    cri.handlers = names
    found = findings(here, "crio")
    cri.stop()
    assert [(each.status, said in each.said) for each in found] == [(status, True)]


@pytest.mark.parametrize("engine", ["containerd", "crio", "docker"])
def test_stopped_engine_is_told(engine: str, here: Path) -> None:
    done(here, "install", engine)
    (found,) = findings(here, engine)
    assert (found.status, "is not running; its files have handler systemd (its files were read)" in found.said) == (
        WARN,
        True,
    )
    assert found.remedy.startswith("systemctl start ")


def test_engine_that_is_not_set_up_is_nothing_to_correct(here: Path) -> None:
    first, *_ = findings(here, "podman")
    assert (first.status, first.said) == (
        PASS,
        "podman does not use the wrapper: no handler calls it (its files were read)",
    )


def test_a_package_with_crun_alone_is_seen_to_have_it(root: Path) -> None:
    (root / "usr/sbin/runc").unlink()
    program(root / "usr/bin/oci-systemd-runtime", "#!/bin/sh\nosd_runtime=${osd_runtime:-/usr/bin/runc}\n")
    (first, *_) = facts.launchers(Tree(str(root)), [])
    assert (first.missing, first.instead, first.is_called) == ((), "/usr/bin/crun", False)
    done(root, "install", "docker", "--runtime", "crun")
    base, stub = facts.launchers(
        Tree(str(root)), [facts.engine(Tree(str(root)), "docker", ENGINES["docker"].PLACES[-1])]
    )
    assert (base.is_called, stub.is_called, stub.runtime) == (False, True, "/usr/bin/crun")


# Docker's API


class Docker:
    """The daemon's end of its API, as far as one answer a connection."""

    def __init__(self, place: Path, answer: bytes) -> None:
        self.answer = answer
        place.parent.mkdir(parents=True, exist_ok=True)
        self.socket = socket.socket(socket.AF_UNIX)
        self.socket.bind(str(place))
        self.socket.listen()
        threading.Thread(target=self.serve, daemon=True).start()

    def serve(self) -> None:
        with suppress(OSError):
            while True:
                with self.socket.accept()[0] as peer:
                    assert peer.recv(1 << 16).startswith(b"GET /info HTTP/1.1\r\n")
                    peer.sendall(self.answer)

    def close(self) -> None:
        with suppress(OSError):
            self.socket.shutdown(socket.SHUT_RDWR)
        self.socket.close()


def http(body: bytes) -> bytes:
    return b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%b" % (len(body), body)


API = Path("run/docker.sock")


def test_docker_is_asked_by_its_api(here: Path) -> None:
    done(here, "install", "docker")
    body = json.dumps({"Runtimes": {"runc": {"path": "runc"}, "systemd": {"path": "/x"}}}).encode()
    with closing(Docker(API, http(body))):
        assert running.serves("docker", "systemd", API)
        assert not running.serves("docker", "other", API)
        assert [each.status for each in findings(here, "docker")] == [PASS]
    API.unlink()
    with closing(Docker(API, http(b'{"Runtimes": {"runc": {}}}'))):
        assert [each.status for each in findings(here, "docker")] == [FAIL]


@pytest.mark.parametrize("answer", [b"", b"SSH-2.0\r\n", http(b"{"), http(b"[]"), b"HTTP/1.1 200 OK\r\n\r\n"])
def test_answer_that_is_none_of_docker_s_is_an_error(answer: bytes, here: Path) -> None:
    with closing(Docker(API, answer)), pytest.raises(OSError, match="not a Docker API"):
        docker_api.runtimes(API)


# Processes


def test_process_began_when_it_was_started() -> None:
    now = time.time()
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as child:
        time.sleep(0.3)
        began = facts.began_at(str(child.pid))
        child.communicate(b"\n")
    assert began is not None
    assert abs(began - now) < facts.SLACK + 0.5
    assert facts.began_at(str(child.pid)) is None
    assert facts.began_at("0") is facts.began_at("") is None


@pytest.mark.parametrize(("reloads", "later"), [(False, False), (True, True)])
def test_reload_counts_where_the_engine_takes_a_handler_by_one(
    reloads: bool, later: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    changed = int((time.monotonic() + 100) * 1e6)
    program(
        tmp_path / "systemctl", f"#!/bin/sh\necho MainPID={os.getpid()}\necho StateChangeTimestampMonotonic={changed}\n"
    )
    monkeypatch.setenv("PATH", str(tmp_path), prepend=os.pathsep)
    read = facts.last_read("docker", reloads=reloads)
    assert read is not None
    assert (read > time.time()) == later


def test_unit_that_does_not_run_has_read_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    program(tmp_path / "systemctl", "#!/bin/sh\necho MainPID=0\necho StateChangeTimestampMonotonic=5\n")
    monkeypatch.setenv("PATH", str(tmp_path), prepend=os.pathsep)
    assert facts.last_read("docker", reloads=True) is None


# How this is installed


WAYS = {
    "a package of Debian": (
        "/usr/lib/oci-systemd/versions/1/oci_systemd",
        ["var/lib/dpkg/info/oci-systemd.list"],
        "apt-get",
    ),
    "a package by rpm": ("/usr/lib/oci-systemd/versions/1/oci_systemd", [], "dnf"),
    "a self-contained tree": ("/opt/oci-systemd/versions/1/lib/oci-systemd/oci_systemd", [], "self-contained tree"),
    "the source": ("/usr/local/lib/oci-systemd/versions/1/oci_systemd", [], "make install"),
}


@pytest.mark.parametrize(("package", "files", "said"), WAYS.values(), ids=WAYS)
def test_remedy_is_known_by_where_the_package_lies(
    package: str, files: list[str], said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for file in files:
        (tmp_path / file).parent.mkdir(parents=True)
        (tmp_path / file).touch()
    monkeypatch.setattr(installed.oci_systemd, "__file__", f"{package}/__init__.py")
    assert said in installed.way(Tree(str(tmp_path))).again
