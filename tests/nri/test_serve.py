"""The plugin as a program, with runtimes of every version: registered, served, lost and found again."""

from __future__ import annotations

import json
import os
import resource
import signal
import socket
import subprocess
import time
import urllib.request
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import pytest

from oci_systemd.core import annotations as a
from oci_systemd.core.errors import Shortage
from oci_systemd.core.host import Host
from oci_systemd.core.settings import Settings
from oci_systemd.host.log import Entry
from oci_systemd.nri.node import Node
from oci_systemd.nri.plugin import Plugin
from oci_systemd.nri.serve import FRESH, Identity, Server
from tests.nri.program import COMMAND, Program, environment, until
from tests.nri.requests import request, spec
from tests.nri.runtime import (
    POST_START_CONTAINER,
    REMOVE_CONTAINER,
    RUN_POD_SANDBOX,
    VERSIONS,
    Peer,
    Refused,
    Runtime,
    Version,
)
from tests.ports import free_port

if TYPE_CHECKING:
    from oci_systemd.nri.log import Log
    from oci_systemd.nri.serve import Signals

# This machine's cgroups do not matter here.
SETTINGS = "[cgroup]\nrequire_nsdelegate = false\n"
SHELL = request(spec("/bin/sh"))
WRITABLE = spec()
WRITABLE["mounts"][3] = WRITABLE["mounts"][3] | {"options": ["rw"]}
SYSTEMD = request(WRITABLE)  # on a host with cgroup v1, too
BAD = request(spec("/bin/sh", annotations={a.WANTED: "yes"}))
MIB = 1 << 20


class Place:
    """A folder with a runtime's socket, and plugins that look for it there."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.path = folder / "nri.sock"
        self.settings = folder / "config.toml"
        self.settings.write_text(SETTINGS)
        self._stack = ExitStack()

    def runtime(self, version: Version = VERSIONS["0.8.0"]) -> Runtime:
        runtime = Runtime(self.path, version)
        self._stack.callback(runtime.stop)
        runtime.start()
        return runtime

    def program(self, *options: str, env: dict[str, str] | None = None, **popen: Any) -> Program:
        options = ("--socket-path", str(self.path), *options)
        more = {"OCI_SYSTEMD_CONFIG": str(self.settings), **(env or {})}
        program = Program(self.folder, *options, env=more, **popen)
        self._stack.callback(program.end)
        return program

    def both(self, *options: str) -> tuple[Program, Runtime, Peer]:
        runtime = self.runtime()
        program = self.program(*options)
        return program, runtime, runtime.plugin()

    def close(self) -> None:
        self._stack.close()


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Place]:
    place = Place(tmp_path)
    yield place
    place.close()


def serves(peer: Peer) -> bool:
    """Return whether it adjusts a systemd container and leaves another one alone."""
    return peer.create(SYSTEMD) is not None and peer.create(SHELL) is None


@pytest.mark.parametrize("version", VERSIONS.values(), ids=lambda version: version.name)
def test_every_version_is_served(place: Place, version: Version) -> None:
    runtime = place.runtime(version)
    program = place.program()
    peer = runtime.plugin()
    assert (peer.registered.plugin_idx, peer.registered.plugin_name) == ("10", "oci-systemd")
    for event, name in (
        (RUN_POD_SANDBOX, "RunPodSandbox"),
        (POST_START_CONTAINER, "PostStartContainer"),
        (REMOVE_CONTAINER, "RemoveContainer"),
    ):
        peer.tell(event, name)
        assert serves(peer)
    with pytest.raises(Refused, match=r'oci-systemd: .*"true", "false" or "auto"'):
        peer.create(BAD)
    assert serves(peer)
    program.wait_said(f"to containerd {version.engine}")
    assert program.end() == 0
    assert peer.is_closed()


def test_the_reference_plugins_options_are_understood(place: Place) -> None:
    runtime = place.runtime()
    options = ["-idx", "07", "--name=x", "-verbose"]
    env = {"OCI_SYSTEMD_CONFIG": str(place.settings)}
    program = Program(place.folder, "-socket-path", str(place.path), *options, env=env)
    try:
        peer = runtime.plugin()
        assert (peer.registered.plugin_idx, peer.registered.plugin_name) == ("07", "x")
        assert serves(peer)
        said = program.wait_said("ContainerAdjustment none")
        assert "CreateContainerRequest {" in said
        assert '"destination": "/run/lock"' in said
        assert '"message":"left alone"' in said
    finally:
        assert program.end() == 0


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
@pytest.mark.parametrize("connected", [True, False])
def test_a_signal_ends_it_cleanly(place: Place, number: int, connected: bool) -> None:
    if connected:
        program, _, _ = place.both()
    else:
        program = place.program()
        program.wait_said("cannot connect")
    program.signal(number)
    assert program.exit_code() == 0


def test_it_waits_for_a_runtime_and_says_so_once(place: Place) -> None:
    program = place.program()
    program.wait_said(f"runtime at {place.path}: cannot connect: No such file or directory")
    time.sleep(1)
    runtime = place.runtime()
    assert serves(runtime.plugin())
    assert program.said().count("cannot connect") == 1


def test_a_runtime_that_starts_anew_is_found_again(place: Place) -> None:
    program, runtime, peer = place.both()
    before = program.descriptors()
    for _ in range(20):
        peer.close()
        runtime.stop()
        runtime.start()
        peer = runtime.plugin()
        assert serves(peer)
    assert program.descriptors() == before


def test_a_plugin_that_is_killed_can_be_started_again(place: Place) -> None:
    """Even where a call waits for its answer: to the runtime it is gone."""
    program, runtime, peer = place.both()
    program.signal(signal.SIGSTOP)
    peer.ask("CreateContainer", SYSTEMD.SerializeToString())
    program.signal(signal.SIGKILL)
    assert peer.is_closed()
    place.program()
    assert serves(runtime.plugin())


GARBAGE = {
    "HTTP": b"HTTP/1.1 400 Bad Request\r\n\r\n",
    "zeros": bytes(100),
    "a frame beyond measure": b"\0\0\0\1\xff\xff\xff\xff",
    "a message beyond measure": b"\0\0\0\1\0\0\0\x0a\xff\xff\xff\xff\0\0\0\1\1\0",
    "half a frame": b"\0\0\0\1\0\0",
}


@pytest.mark.parametrize("garbage", GARBAGE.values(), ids=GARBAGE)
@pytest.mark.parametrize("greeted", [True, False])
def test_garbage_costs_one_connection(place: Place, garbage: bytes, greeted: bool) -> None:
    runtime = place.runtime()
    program = place.program()
    peer = runtime.accepted()
    if greeted:
        peer.handshake()
    peer.socket.sendall(garbage)
    peer.close()
    assert serves(runtime.plugin())
    assert program.process.poll() is None


CALLS = [b"", b"\xff", b"\x0a\x01", b"\x1a\x02\xff\xff"]


@pytest.mark.parametrize("payload", CALLS)
@pytest.mark.parametrize("method", ["CreateContainer", "Synchronize", "StateChange", "Configure", "Unheard", ""])
def test_no_call_ends_it(place: Place, method: str, payload: bytes) -> None:
    _, _, peer = place.both()
    try:
        peer.answer(method, payload)
    except Refused as refused:
        assert str(refused)
    assert serves(peer)


def test_a_runtime_that_says_nothing_is_given_up(place: Place) -> None:
    runtime = place.runtime()
    program = place.program()
    hung = runtime.accepted()
    while hung.socket.recv(4096):  # until it closes
        continue
    assert serves(runtime.plugin())
    assert "did not configure this plugin" in program.said()


def test_a_runtime_that_hangs_is_waited_for(place: Place) -> None:
    """It may be busy: while it is connected, no container is lost."""
    _, _, peer = place.both()
    time.sleep(6)
    assert serves(peer)


def test_a_runtime_that_does_not_want_it_ends_it(place: Place) -> None:
    runtime = place.runtime()
    program = place.program()
    peer = runtime.accepted()
    peer.accept(2, "invalid plugin index")
    assert program.exit_code() == 2
    assert "the runtime rejected this plugin: invalid plugin index" in program.said()
    assert "Traceback" not in program.said()


# Much


def many(count: int, padding: int) -> list[Any]:
    found = []
    for number in range(count):
        each = request(spec("/bin/sh"), f"{number:064x}").container
        each.state = 3
        each.annotations["padding"] = "x" * padding
        found.append(each)
    return found


@pytest.mark.parametrize(("version", "chunk"), [("0.6.1", 0), ("0.8.0", 200)])
def test_more_than_four_mebibytes_of_containers_are_taken(place: Place, version: str, chunk: int) -> None:
    runtime = place.runtime(VERSIONS[version])
    program = place.program()
    peer = runtime.accepted()
    missed = request(WRITABLE, "a" * 64).container
    missed.state = 3
    peer.handshake([SYSTEMD.pod], [*many(600, 8000), missed], chunk=chunk)
    assert serves(peer)
    program.wait_said('"message":"missed"')


def test_ten_thousand_containers_do_not_keep_a_new_one_waiting(place: Place) -> None:
    runtime = place.runtime(VERSIONS["0.6.1"])
    program = place.program()
    peer = runtime.accepted()
    systemd = [request(WRITABLE, f"{number:064x}").container for number in range(10_000)]
    for each in systemd:
        each.state = 3
    peer.handshake([SYSTEMD.pod], systemd)
    assert serves(peer)  # while it still looks at what there was
    assert program.said().count('"message":"missed"') < len(systemd)
    assert serves(peer)


def test_ten_thousand_requests_leave_nothing_behind(place: Place) -> None:
    program, _, peer = place.both()
    for _ in range(500):
        assert serves(peer)
    before = program.memory(), program.descriptors()
    for _ in range(5000):
        assert serves(peer)
    assert program.memory() - before[0] < MIB
    assert program.descriptors() == before[1]


def test_a_hundred_containers_at_once_lose_none(place: Place) -> None:
    """A runtime asks for one after the other, as fast as it can."""
    _, _, peer = place.both()
    for _ in range(10):  # more than a socket holds would keep both ends writing
        streams = [peer.ask("CreateContainer", SYSTEMD.SerializeToString()) for _ in range(10)]
        assert [peer._next().stream for _ in streams] == streams


def test_nobody_reads_what_it_says_and_it_serves_all_the_same(place: Place) -> None:
    runtime = place.runtime()
    reading, writing = os.pipe()
    program = place.program("--verbose", stdout=writing, stderr=writing)
    os.close(writing)
    try:
        peer = runtime.plugin()
        for _ in range(400):  # a pipe holds 64 KiB, what waits in it is a thousand lines
            assert serves(peer)
        assert program.end() == 0
    finally:
        os.close(reading)


def test_who_read_what_it_says_may_go(place: Place) -> None:
    runtime = place.runtime()
    reading, writing = os.pipe()
    program = place.program("--verbose", stdout=writing, stderr=writing)
    os.close(writing)
    peer = runtime.plugin()
    os.close(reading)
    for _ in range(5):
        assert serves(peer)
    assert program.end() == 0


# Its node


def test_settings_are_read_again(place: Place) -> None:
    program, _, peer = place.both()
    place.settings.write_text(SETTINGS + '[env]\ncontainer = "nri"\n')
    program.signal(signal.SIGHUP)
    assert until(lambda: ("container", "nri") in [(each.key, each.value) for each in peer.create(SYSTEMD).env])


def test_settings_are_read_again_without_a_signal(place: Place) -> None:
    """A call in between does not delay it."""
    _, _, peer = place.both()
    place.settings.write_text(SETTINGS + '[env]\ncontainer = "nri"\n')
    time.sleep(FRESH * 0.8)
    assert peer.create(SHELL) is None
    time.sleep(FRESH * 0.4)
    assert ("container", "nri") in [(each.key, each.value) for each in peer.create(SYSTEMD).env]


def test_broken_settings_are_told_and_fail_systemd_alone(place: Place) -> None:
    program, _, peer = place.both()
    place.settings.write_text("[cgroup\n")
    program.signal(signal.SIGHUP)
    program.wait_said('"message":"settings"')
    assert peer.create(SHELL) is None
    with pytest.raises(Refused, match=str(place.settings)):
        peer.create(SYSTEMD)


# The kind that a runtime starts


def test_a_runtime_may_start_it_itself(place: Place) -> None:
    """Its environment holds three variables, its descriptors a socket and nothing else."""
    ours, theirs = socket.socketpair()
    code = f"import os, sys; sys.path.insert(0, {environment()['PYTHONPATH']!r}); os.dup2({theirs.fileno()}, 3); "
    code += "from oci_systemd.cli import main; sys.argv = ['oci-systemd', 'nri']; main()"
    env = {"NRI_PLUGIN_NAME": "oci-systemd", "NRI_PLUGIN_IDX": "20", "NRI_PLUGIN_SOCKET": "3"}
    null = subprocess.DEVNULL
    process = subprocess.Popen(
        [COMMAND[0], "-c", code], env=env, cwd="/", stdin=null, stdout=null, stderr=null, pass_fds=[theirs.fileno()]
    )
    theirs.close()
    peer = Peer(ours, VERSIONS["0.6.1"])
    peer.handshake()
    assert (peer.registered.plugin_idx, peer.registered.plugin_name) == ("20", "oci-systemd")
    assert peer.create(SHELL) is None
    peer.close()
    assert process.wait(20) == 0


# Who asks


def check(place: Place, *options: str) -> subprocess.CompletedProcess[str]:
    command = [*COMMAND, "nri", "--socket-path", str(place.path), "--check", *options]
    return subprocess.run(command, env=environment(), capture_output=True, text=True, timeout=20)


def test_check_tells_whether_it_is_connected(place: Place) -> None:
    assert check(place).returncode == 1
    program = place.program()
    program.wait_said("cannot connect")
    before = check(place)
    assert (before.returncode, "not connected: runtime at" in before.stdout) == (1, True)
    peer = place.runtime().plugin()
    assert until(lambda: check(place).returncode == 0)
    assert check(place).stdout == "connected to containerd v2.1.9\n"
    assert check(place, "--name", "other").returncode == 1
    assert serves(peer)
    assert (program.end(), check(place).returncode) == (0, 1)


def test_a_second_one_is_told_that_its_place_is_taken(place: Place) -> None:
    place.both()
    second = place.program()
    second.wait_said("--check does not work with this plugin")
    assert second.end() == 0


def test_metrics_count_what_was_done(place: Place) -> None:
    address = f"127.0.0.1:{free_port()}"
    runtime = place.runtime()
    place.program("--metrics", address)
    peer = runtime.accepted()
    missed = request(WRITABLE, "a" * 64).container
    missed.state = 3
    peer.handshake([SYSTEMD.pod], [missed])
    assert serves(peer)
    with pytest.raises(Refused):
        peer.create(BAD)

    def text() -> str:
        with urllib.request.urlopen(f"http://{address}/metrics", timeout=10) as reply:
            return str(reply.read().decode())

    lines = """containers_seen_total 3.0
containers_adjusted_total 1.0
containers_refused_total 1.0
containers_missed_total 1.0
create_seconds_count 3.0
connected 1.0""".splitlines()
    assert until(lambda: all(f"oci_systemd_nri_{line}" in text() for line in lines)), text()
    peer.close()
    runtime.stop()
    assert until(lambda: "oci_systemd_nri_connected 0.0" in text())


IDLE = 250


def test_connections_that_say_nothing_take_nothing_from_the_plugin(place: Place) -> None:
    """With few descriptors of its own, which they would use up: it serves, answers who asks, and rests."""
    port = free_port()
    address = f"127.0.0.1:{port}"
    runtime = place.runtime()
    few: dict[str, Any] = {"preexec_fn": lambda: resource.setrlimit(resource.RLIMIT_NOFILE, (64, 64))}
    program = place.program("--metrics", address, **few)
    peer = runtime.plugin()
    with ExitStack() as stack:
        assert until(lambda: socket.socket().connect_ex(("127.0.0.1", port)) == 0)
        for _ in range(IDLE):
            stack.enter_context(socket.create_connection(("127.0.0.1", port)))
        assert until(lambda: program.descriptors() < 40)
        assert serves(peer)
        assert check(place).returncode == 0
        before = program.seconds()
        time.sleep(1)
        assert program.seconds() - before < 0.5
        peer.close()
        assert serves(runtime.plugin())


class Shy:
    """Reading the node's facts fails `times` times for lack of descriptors."""

    def __init__(self, node: Node) -> None:
        self.node = node
        self.fails = False

    def __call__(self) -> Node:
        if self.fails:
            raise Shortage("/etc/oci-systemd/config.toml: cannot read: Too many open files")
        return self.node


def test_what_cannot_be_looked_at_is_as_it_was_seen_last() -> None:
    node = Node(Settings({"env.container": "kubernetes"}), Host(), False)
    told: list[Entry] = []
    plugin, look = Plugin(node, told.append, None), Shy(node)
    server = Server(Identity("10", "x"), plugin, cast("Log", Told(told)), cast("Signals", Quiet()), look, None)
    look.fails = True
    for _ in range(3):
        server._refresh(now=True)
    assert plugin.node is node
    assert ["Too many open files" in entry.reason for entry in told] == [True]
    look.fails, look.node = False, Node(Settings(), Host(), False)
    server._refresh(now=True)
    assert plugin.node is look.node


class Quiet:
    """Signals, of which none comes; this process keeps its own handlers."""

    def __init__(self) -> None:
        self.stopping = False
        self.socket, self.waker = socket.socketpair()


class Told:
    """A log that keeps its lines."""

    def __init__(self, told: list[Entry]) -> None:
        self.told = told

    def tell(self, entry: Entry) -> None:
        self.told.append(entry)


WRONG = {
    "an invalid index": (["--idx", "7"], "--idx '7': invalid value"),
    "a name that none takes": (["--name", "a b"], "--name 'a b'"),
    "no address": (["--metrics", "x"], "use HOST:PORT"),
    "an address of another's": (["--metrics", "192.0.2.1:1"], "cannot listen"),
}


@pytest.mark.parametrize(("options", "words"), WRONG.values(), ids=WRONG)
def test_what_cannot_be_is_told(place: Place, options: list[str], words: str) -> None:
    program = place.program(*options)
    assert program.exit_code() == 2
    assert words in program.said()
    assert "Traceback" not in program.said()


def test_a_descriptor_that_is_none_is_told(place: Place) -> None:
    program = place.program(env={"NRI_PLUGIN_SOCKET": "99", "NRI_PLUGIN_IDX": "10", "NRI_PLUGIN_NAME": "x"})
    assert program.exit_code() == 2
    assert "not a socket's file descriptor" in program.said()


def test_each_line_is_json(place: Place) -> None:
    program, _, peer = place.both()
    assert serves(peer)
    program.wait_said('"message":"adjusted"')
    levels = [json.loads(line)["level"] for line in program.said().splitlines()]
    assert {*levels} <= {"info", "warning"}
