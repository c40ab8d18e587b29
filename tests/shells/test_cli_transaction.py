"""How `oci-systemd install` and `uninstall` tell an engine, ask it what came of that, and go back where it is wrong."""

from __future__ import annotations

import json
import os
import shutil
import socket
import struct
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from h2.config import H2Configuration
from h2.connection import H2Connection
from h2.events import StreamEnded

from oci_systemd.core.errors import Problem
from oci_systemd.host import commands
from oci_systemd.host.tree import Tree
from oci_systemd.installation import cri as protocol
from oci_systemd.installation import running
from oci_systemd.nri.table import messages
from tests.shells.test_cli_install import config, done, files, program, refused, run
from tests.shells.test_cli_install import root as root

AUTO = ("install", "containerd", "--restart", "auto")
BACK = ("uninstall", "containerd", "--restart", "auto")
MARK = "run/oci-systemd/containerd.json"
SOCKET = "run/containerd/containerd.sock"


def unmarked(root: Path) -> Mapping[str, object]:
    """All that is below a root, but what waits for the next of us."""
    return {path: what for path, what in files(root).items() if not MARK.startswith(path) or path == "run"}


def test_restart_where_no_systemd_runs_changes_nothing(root: Path) -> None:
    assert refused(root, *AUTO) == (
        f"oci-systemd: systemd is not running below {root}; leave out --restart, and restart the engine yourself "
        "(`systemctl restart containerd`)\n"
    )


# The unit fails while a file of the engine names our handler; each start is counted.
BUSCTL = """#!/bin/sh
case $* in
    *RestartUnit\\ ss\\ containerd.service\\ replace) echo start >>/starts ;;
    *"get-property org.freedesktop.systemd1 /org/freedesktop/systemd1/unit/containerd_2eservice "*Unit*ActiveState)
        if grep -q oci-systemd-runtime /etc/containerd/config.toml; then echo 's "@STATE@"'; else echo 's "active"'; fi ;;
    *"systemd1.Unit SubState")
        if grep -q oci-systemd-runtime /etc/containerd/config.toml; then echo 's "@SUB@"'; else echo 's "running"'; fi ;;
    *"systemd1.Service ExecMainStartTimestampMonotonic") echo "t $(grep -c start /starts)" ;;
    *) exit 1 ;;
esac
"""


@pytest.fixture
def booted(root: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A root with a busybox for its shell, and a systemd that is asked by busctl."""
    busybox = shutil.which("busybox")
    if os.geteuid() or not busybox:
        pytest.skip("needs root and a static busybox: a program is run in another root")
    (root / "bin").mkdir(exist_ok=True)
    shutil.copy(busybox, root / "bin/busybox")
    for applet in ("sh", "grep"):
        (root / "bin" / applet).symlink_to("busybox")
    (root / "run/systemd/system").mkdir(parents=True)
    fail(root, "failed", "failed")
    monkeypatch.setattr(commands, "SETTLED", 0.01)
    return root


def fail(root: Path, state: str, sub: str) -> None:
    """Have the unit be in that state while a file of the engine names our handler."""
    program(root / "usr/bin/busctl", BUSCTL.replace("@STATE@", state).replace("@SUB@", sub))


def starts(root: Path) -> int:
    """How often the unit was started since the last question."""
    file = root / "starts"
    lines = file.read_text().splitlines()
    file.unlink()
    return len(lines)


def test_restart_is_done_by_the_systemd_of_the_root_and_waited_for(booted: Path) -> None:
    fail(booted, "active", "running")
    assert done(booted, *AUTO)[-1] == "done: systemctl restart containerd"
    assert starts(booted) == 1


@pytest.mark.parametrize(("state", "sub"), [("failed", "failed"), ("activating", "auto-restart")])
def test_engine_that_does_not_come_up_gets_its_files_back(booted: Path, state: str, sub: str) -> None:
    fail(booted, state, sub)
    config(booted / "etc/containerd/config.toml", "version = 2\n")
    before = files(booted)
    result = run(booted, *AUTO)
    assert result.exit_code == 2
    assert (
        "containerd: does not stay up after the restart; see `journalctl -u containerd`; rolled back" in result.stderr
    )
    assert starts(booted) == 2
    assert unmarked(booted) == before


@pytest.mark.skipif(Path("/run/systemd/system").is_dir(), reason="systemd runs here")
def test_restart_without_systemd_is_told() -> None:
    with pytest.raises(
        Problem, match=r"systemd is not running here; leave out --restart, .* \(`systemctl restart x`\)"
    ):
        commands.check_systemd("systemctl restart x")


def test_engine_that_sees_changes_by_itself_is_not_told(root: Path) -> None:
    (root / "usr/bin/containerd").unlink()
    config(root / "etc/k0s/containerd.toml", "# k0s_managed=true\nversion = 3\n")
    program(root / "var/lib/k0s/bin/runc")
    lines = done(root, *AUTO)
    assert [line for line in lines if not line.startswith("wrote ")] == ["k0s was not asked: its files were read"]


def test_engine_is_not_told_where_only_our_record_changes(root: Path) -> None:
    done(root, "install", "docker")
    path = root / "etc/oci-systemd/engines/docker.json"
    path.write_text(json.dumps(json.loads(path.read_text())))
    assert done(root, "install", "docker") == ["wrote /etc/oci-systemd/engines/docker.json"]


# What came of it


class Cri:
    """The engine's end of CRI, as far as Status: its handlers, or an answer in raw bytes."""

    def __init__(self, place: Path) -> None:
        self.handlers = ["runc", "systemd"]
        self.raw: bytes | None = None
        self.asked = 0
        place.parent.mkdir(parents=True, exist_ok=True)
        self.socket = socket.socket(socket.AF_UNIX)
        self.socket.bind(str(place))
        self.socket.listen()
        threading.Thread(target=self.serve, daemon=True).start()

    def serve(self) -> None:
        with suppress(OSError):  # it was shut down
            while True:
                with self.socket.accept()[0] as peer:
                    self.answer(peer)

    def answer(self, peer: socket.socket) -> None:
        """One call: headers, a message, trailers (grpc, PROTOCOL-HTTP2.md)."""
        connection = H2Connection(H2Configuration(client_side=False))
        connection.initiate_connection()
        peer.sendall(connection.data_to_send())
        while part := peer.recv(1 << 16):
            for event in connection.receive_data(part):
                if isinstance(event, StreamEnded):
                    self.asked += 1
                    message = self.status() if self.raw is None else self.raw
                    connection.send_headers(event.stream_id, [(":status", "200"), ("content-type", "application/grpc")])
                    connection.send_data(event.stream_id, struct.pack(">?I", False, len(message)) + message)
                    connection.send_headers(event.stream_id, [("grpc-status", "0")], end_stream=True)
            with suppress(BrokenPipeError):
                peer.sendall(connection.data_to_send())

    def status(self) -> bytes:
        table = messages("cri.status", protocol.TABLE)
        answer = table["StatusResponse"](
            runtime_handlers=[table["RuntimeHandler"](name=name) for name in self.handlers]
        )
        return bytes(answer.SerializeToString())

    def stop(self) -> None:
        with suppress(OSError):
            self.socket.shutdown(socket.SHUT_RDWR)
        self.socket.close()


@pytest.fixture
def cri(booted: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Cri]:
    fail(booted, "active", "running")
    monkeypatch.setattr(running, "PATIENCE", 0.2)
    monkeypatch.setattr(running, "PAUSE", 0.01)
    monkeypatch.chdir(booted)
    cri = Cri(Path(SOCKET))  # a socket's path has few bytes
    yield cri
    cri.stop()


def test_engine_that_serves_the_handler_is_told_once(booted: Path, cri: Cri) -> None:
    assert done(booted, *AUTO)[-1] == "done: systemctl restart containerd"
    assert (starts(booted), cri.asked, (booted / MARK).exists()) == (1, 1, False)
    assert done(booted, *AUTO) == ["containerd: handler systemd is up to date; nothing to do"]
    assert not (booted / "starts").exists()


def test_engine_that_does_not_serve_it_gets_its_files_back_and_is_left_in_peace(booted: Path, cri: Cri) -> None:
    cri.handlers = ["runc"]
    before = files(booted)
    sentence = f"engine at {booted}/{SOCKET}: running, but without the handler systemd"
    assert f"{sentence}; rolled back, and the engine runs" in run(booted, *AUTO).stderr
    assert starts(booted) == 2
    assert unmarked(booted) == before
    again = run(booted, *AUTO).stderr
    assert f"the same change failed 0 minutes ago: {sentence}; try again after an hour, or remove /{MARK}" in again
    assert not (booted / "starts").exists()
    assert unmarked(booted) == before


def test_what_has_failed_is_tried_again_after_an_hour_or_where_it_is_another_plan(booted: Path, cri: Cri) -> None:
    cri.handlers = ["runc"]
    for words in (AUTO, (*AUTO, "--handler", "other")):
        assert "rolled back" in run(booted, *words).stderr
    mark = json.loads((booted / MARK).read_text())
    (booted / MARK).write_text(json.dumps(mark | {"when": time.time() - 3601}))
    assert "rolled back" in run(booted, *AUTO, "--handler", "other").stderr
    assert starts(booted) == 6


def test_engine_that_was_not_told_yet_is_told(booted: Path, cri: Cri) -> None:
    done(booted, "install", "containerd")
    cri.handlers = ["runc"]
    result = run(booted, *AUTO)
    assert "running, but without the handler systemd; its files are unchanged" in result.stderr
    assert starts(booted) == 1
    assert "the same change failed 0 minutes ago" in run(booted, *AUTO).stderr


def killed(*_: object) -> None:
    raise KeyboardInterrupt


def kill(root: Path, *words: str) -> None:
    """One of the commands, killed before it tells the engine."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(commands, "restart", killed)
        run(root, *words)
    assert (root / MARK).exists()


def test_killed_and_then_refused_is_undone(booted: Path, cri: Cri) -> None:
    before = files(booted)
    kill(booted, *AUTO)
    cri.handlers = ["runc"]
    assert "running, but without the handler systemd; rolled back, and the engine runs" in run(booted, *AUTO).stderr
    assert starts(booted) == 2
    assert unmarked(booted) == before
    assert "the same change failed 0 minutes ago" in run(booted, *AUTO).stderr


def test_killed_on_the_way_out_and_then_refused_stays_to_be_done(booted: Path, cri: Cri) -> None:
    done(booted, *AUTO)
    kill(booted, *BACK)
    starts(booted)
    program(booted / "usr/bin/busctl", BUSCTL.replace("*RestartUnit", "*Other"))
    assert "; its files are unchanged" in run(booted, *BACK).stderr
    assert "the same change failed 0 minutes ago" in run(booted, *BACK).stderr
    mark = json.loads((booted / MARK).read_text())
    (booted / MARK).write_text(json.dumps(mark | {"when": 0}))
    fail(booted, "active", "running")
    assert done(booted, *BACK)[-1] == "done: systemctl restart containerd"
    assert not (booted / MARK).exists()


@pytest.mark.parametrize("words", [AUTO, BACK])
def test_killed_before_the_engine_was_told_is_said_to_who_tells_it_himself(
    words: tuple[str, ...], booted: Path, cri: Cri
) -> None:
    if words == BACK:
        done(booted, *AUTO)
    kill(booted, *words)
    assert done(booted, *words[:2])[-1] == "next: systemctl restart containerd"
    assert "nothing to do" in done(booted, *words[:2])[-1]


def test_engine_that_fails_on_the_way_back_too_is_left_in_peace(booted: Path, cri: Cri) -> None:
    before = files(booted)
    program(booted / "usr/bin/busctl", BUSCTL.replace("*RestartUnit", "*Other"))
    assert (
        "; rolled back, but the engine still fails: `systemctl restart containerd` failed" in run(booted, *AUTO).stderr
    )
    assert {path for path in unmarked(booted) if "busctl" not in path} == {
        path for path in before if "busctl" not in path
    }
    assert "the same change failed 0 minutes ago" in run(booted, *AUTO).stderr


def test_unit_that_does_not_run_is_not_started(booted: Path) -> None:
    """It may be a server's, on a node that runs the agent's."""
    fail(booted, "inactive", "dead")
    program(booted / "usr/bin/busctl", BUSCTL.replace("echo 's \"active\"'", "echo 's \"inactive\"'"))
    assert "containerd: not running; leave out --restart, and start it" in refused(booted, *AUTO)


@pytest.mark.parametrize("words", [AUTO, BACK])
def test_killed_before_the_engine_was_told_is_told_by_the_next(words: tuple[str, ...], booted: Path, cri: Cri) -> None:
    if words == BACK:
        done(booted, *AUTO)
        starts(booted)

    kill(booted, *words)
    assert not (booted / "starts").exists()
    assert done(booted, *words)[-1] == "done: systemctl restart containerd"
    assert (starts(booted), (booted / MARK).exists()) == (1, False)


def test_engine_that_cannot_be_asked_stays_as_it_is(booted: Path, cri: Cri) -> None:
    done(booted, *AUTO)
    starts(booted)
    cri.stop()
    assert f"engine at {booted}/{SOCKET}: does not answer: " in refused(booted, *AUTO)
    assert not (booted / "starts").exists()


def test_first_problem_is_told_where_the_way_back_fails_too(
    booted: Path, cri: Cri, monkeypatch: pytest.MonkeyPatch
) -> None:
    cri.handlers = ["runc"]
    commit = Tree.commit

    def once(self: Tree, *words: Any) -> None:
        monkeypatch.setattr(Tree, "commit", broken)
        commit(self, *words)

    def broken(*_: object, **__: object) -> None:
        raise Problem("no room")

    monkeypatch.setattr(Tree, "commit", once)
    said = run(booted, *AUTO).stderr
    assert (
        "running, but without the handler systemd; cannot roll back, and the new files are still in place: no room"
        in said
    )


def test_a_mark_that_is_damaged_is_none(booted: Path, cri: Cri) -> None:
    for text in ("{", "[]", '{"x": 1}', "1"):
        config(booted / MARK, text)
        assert done(booted, *AUTO)[-1] == "done: systemctl restart containerd"
        done(booted, *BACK)


def test_engine_that_sees_changes_by_itself_and_not_this_one_gets_its_files_back(
    booted: Path, cri: Cri, monkeypatch: pytest.MonkeyPatch
) -> None:
    (booted / "usr/bin/containerd").unlink()
    config(booted / "etc/k0s/containerd.toml", "# k0s_managed=true\nversion = 3\n")
    program(booted / "var/lib/k0s/bin/runc")
    (booted / "run/k0s").mkdir()
    (booted / "run/k0s/containerd.sock").symlink_to("../containerd/containerd.sock")
    cri.handlers = ["runc"]
    before = files(booted)
    monkeypatch.setattr(Tree, "is_this_machine", True)  # where nothing is remembered
    assert "running, but without the handler systemd; rolled back" in run(booted, *AUTO).stderr
    assert files(booted) == before


def test_docker_keeps_a_handler_that_was_rolled_back(booted: Path) -> None:
    """A reload adds runtimes and removes none."""
    asked = BUSCTL.replace("RestartUnit", "ReloadUnit").replace("containerd", "docker")
    program(booted / "usr/bin/busctl", asked.replace("config.toml", "daemon.json").replace("@STATE@", "failed"))
    said = run(booted, "install", "docker", "--restart", "auto").stderr
    assert said.endswith("; rolled back, and the engine runs; it keeps the handler in memory until it is restarted\n")


def test_removal_forgets_what_has_failed(booted: Path, cri: Cri) -> None:
    cri.handlers = ["runc"]
    run(booted, *AUTO)
    done(booted, *BACK)
    assert not (booted / MARK).exists()


# The answer itself


@pytest.mark.parametrize("raw", [b"\xff", b"\x12\xff\x01", b"\x1a\x02\x0a"])
def test_answer_that_is_none_is_one_sentence(raw: bytes, booted: Path, cri: Cri) -> None:
    cri.raw = raw
    with pytest.raises(Problem, match=r"does not answer: not a CRI server"):
        running.wait_for("containerd", "systemd", booted / SOCKET)


@pytest.mark.parametrize("data", [b"", b"\0\0\0", b"\0\0\0\0\4abc", b"\0\0\0\0\2abc", b"\1\0\0\0\1a"])
def test_answer_that_is_cut_off_is_an_error(data: bytes) -> None:
    with pytest.raises(OSError, match=r"not a CRI server|incomplete"):
        protocol._unframed(data)


def test_engine_that_does_not_say_is_believed(booted: Path, cri: Cri) -> None:
    cri.handlers = []
    running.wait_for("containerd", "systemd", booted / SOCKET)
