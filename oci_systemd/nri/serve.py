"""Run the plugin on its socket: connect, serve, and connect again when the runtime restarts.

Law: one thread, one call at a time, and no waiting between a call and its answer. If a runtime disappears, hangs or breaks the
protocol, the plugin only tries again; SIGTERM ends it as soon as the present call is answered.
"""

from __future__ import annotations

import gc
import select
import signal
import socket
import struct
import time
from contextlib import suppress
from typing import TYPE_CHECKING, NamedTuple

from google.protobuf.message import DecodeError

from oci_systemd.core.errors import Problem, Shortage
from oci_systemd.host.log import Entry
from oci_systemd.nri.frames import PLUGIN, REQUEST, RESPONSE, RUNTIME, Frames, Message, ProtocolError, encoded
from oci_systemd.nri.health import CONNECTED
from oci_systemd.nri.messages import MESSAGES

if TYPE_CHECKING:
    from collections.abc import Callable

    from oci_systemd.nri.health import Health
    from oci_systemd.nri.log import Log
    from oci_systemd.nri.node import Node
    from oci_systemd.nri.plugin import Plugin

FIRST_PAUSE, LONGEST_PAUSE = 0.05, 0.5  # seconds between two tries
TO_REGISTER = 10.0  # seconds: a runtime accepts plugins one after the other, and waits 5 for each (nri, adaptation.go)
TO_SEND = 5  # seconds: a runtime that reads nothing for so long has dropped the plugin
FRESH = 5.0  # seconds until facts about the node are read again
CHUNK = 1 << 16
REST = 0.02  # seconds for the runtime to use an answer before waiting tasks are done
MOST_WAITING = 100  # tasks that wait for a pause
NOBODY = -1
REGISTER = 1  # the stream of the plugin's own first call
RUNTIME_SERVICE = "nri.pkg.api.v1alpha1.Runtime"


class Rejected(Problem):
    """The runtime rejected this plugin; another try would not help."""


class Identity(NamedTuple):
    """The plugin's registration: two digits, which order the plugins, and a name."""

    idx: str
    name: str


class Signals:
    """SIGTERM and SIGINT, as `stopping`, and SIGHUP; `socket` is readable after one of them."""

    def __init__(self) -> None:
        self.stopping = False
        self.socket, self._waker = socket.socketpair()
        for end in (self.socket, self._waker):
            end.setblocking(False)
        signal.set_wakeup_fd(self._waker.fileno(), warn_on_full_buffer=False)
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self._stop)
        signal.signal(signal.SIGHUP, lambda number, frame: None)

    def _stop(self, number: int, frame: object) -> None:
        self.stopping = True

    def clear(self) -> bool:
        """Return whether a signal has arrived, and clear it."""
        with suppress(BlockingIOError):
            return bool(self.socket.recv(64))
        return False


class Server:
    """`run` until SIGTERM. `look` returns facts about the node: at each connection, at SIGHUP, and every few seconds."""

    def __init__(
        self, identity: Identity, plugin: Plugin, log: Log, signals: Signals, look: Callable[[], Node], health: Health | None
    ) -> None:  # fmt: skip
        self.identity = identity
        self.plugin = plugin
        self.log = log
        self.signals = signals
        self.health = health
        self._look = look
        self._looked = 0.0
        self._shortage = ""  # the last one, which is logged once
        self._trouble = "the runtime has not answered yet"  # the last one, which is logged once
        self._poll = select.poll()
        for each in (signals.socket, *([health.socket] if health else [])):
            self._poll.register(each, select.POLLIN)

    def run(self, path: str) -> None:
        """Serve the runtime at the socket `path` whenever it runs. Raise Rejected if it rejects the plugin."""
        pause = FIRST_PAUSE
        while not self.signals.stopping:
            try:
                with _connected(path) as peer:
                    self.serve(peer)
            except ProtocolError as problem:
                self._warn(str(problem))
            except OSError as error:
                self._warn(f"runtime at {path}: cannot connect: {error.strerror or error}")
            pause = FIRST_PAUSE if self.plugin.runtime else min(pause * 2, LONGEST_PAUSE)
            self.plugin.end()
            self._ready(pause)

    def run_launched(self, peer: socket.socket) -> None:
        """Serve the runtime that started this process, until the connection ends."""
        try:
            self.serve(peer)
        except (ProtocolError, OSError) as problem:
            self._warn(str(problem))
        self.plugin.end()

    def serve(self, peer: socket.socket) -> None:
        """Serve one connection until it ends. Raise OSError or ProtocolError if it cannot be used any more."""
        self._refresh(now=True)
        gc.freeze()
        gc.disable()  # it would delay an answer; `_refresh` collects instead
        peer.settimeout(None)
        peer.setsockopt(socket.SOL_SOCKET, socket.SO_SNDTIMEO, struct.pack("ll", TO_SEND, 0))
        self._poll.register(peer, select.POLLIN)
        try:
            self._converse(peer)
        finally:
            self._poll.unregister(peer)

    def _converse(self, peer: socket.socket) -> None:
        frames = Frames()
        descriptor = peer.fileno()
        peer.sendall(self._registration())
        began = heard = time.monotonic()
        while not self.signals.stopping:
            next_task = heard + REST if self.plugin.waiting else self._looked + FRESH
            if not self._ready(max(0.0, next_task - time.monotonic()), descriptor):
                self.plugin.do_later()
                self._refresh()
                if not self.plugin.runtime and time.monotonic() > began + TO_REGISTER:
                    raise ProtocolError(f"the runtime did not configure this plugin within {TO_REGISTER:.0f} s")
                continue
            data = peer.recv(CHUNK)
            if not data:
                raise ProtocolError("the runtime closed the connection")
            frames.receive(data)
            for message in frames.messages():
                self._take(peer, message)
            heard = time.monotonic()
            while self.plugin.waiting > MOST_WAITING:  # a runtime without a pause
                self.plugin.do_later()

    @property
    def state(self) -> str:
        """The state in words, for health checks."""
        return f"{CONNECTED} to {self.plugin.runtime}" if self.plugin.serves else f"not connected: {self._trouble}"

    def _take(self, peer: socket.socket, message: Message) -> None:
        """Answer a call, or read the answer to our own call."""
        if message.connection == PLUGIN and message.kind == REQUEST:
            answer = self.plugin.answer(message.data)
            peer.sendall(encoded(Message(PLUGIN, message.stream, RESPONSE, answer)))
            self._trouble = ""
        elif message.connection == RUNTIME and message.stream == REGISTER:
            _check_registered(message.data)

    def _registration(self) -> bytes:
        idx, name = self.identity
        payload = MESSAGES["RegisterPluginRequest"](plugin_idx=idx, plugin_name=name).SerializeToString()
        request = MESSAGES["Request"](service=RUNTIME_SERVICE, method="RegisterPlugin", payload=payload)
        return encoded(Message(RUNTIME, REGISTER, REQUEST, request.SerializeToString()))

    def _ready(self, seconds: float, peer: int = NOBODY) -> bool:
        """Return whether the descriptor `peer` is readable within `seconds`. Answer health checks; a signal ends the wait."""
        for descriptor, _ in self._poll.poll(seconds * 1000):
            if descriptor == peer:
                return True
            if self.health and descriptor == self.health.socket.fileno():
                self.health.answer(self.state)
            elif self.signals.clear():
                self._refresh(now=True)
        return False

    def _refresh(self, *, now: bool = False) -> None:
        """Read the facts about the node again, if they are old. If that fails, the last ones stay in effect."""
        if not now and time.monotonic() - self._looked < FRESH:
            return
        before = self.plugin.node
        try:
            self.plugin.see(self._look())
        except Shortage as shortage:
            self._tell_shortage(str(shortage))
            return
        self._shortage = ""
        gc.collect()
        self._looked = time.monotonic()
        problem = self.plugin.node.settings.problem
        if problem and str(problem) != str(before.settings.problem):
            self.log.tell(
                Entry("error", "settings", None, f"{problem}; containers with systemd fail until it is corrected")
            )

    def _tell_shortage(self, shortage: str) -> None:
        """Log once that the node's facts could not be read."""
        self._looked = time.monotonic()
        if shortage != self._shortage:
            self.log.tell(Entry("warning", "node", None, f"{shortage}; the last known state stays in effect"))
        self._shortage = shortage

    def _warn(self, trouble: str) -> None:
        if trouble != self._trouble:
            self.log.tell(Entry("warning", "not connected", None, trouble))
        self._trouble = trouble


def _connected(path: str) -> socket.socket:
    peer = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    peer.settimeout(TO_SEND)
    try:
        peer.connect(path)
    except OSError:
        peer.close()
        raise
    return peer


def _check_registered(data: bytes) -> None:
    try:
        status = MESSAGES["Response"].FromString(data).status
    except DecodeError:
        raise ProtocolError("the runtime's answer to RegisterPlugin is invalid") from None
    if status.code:
        raise Rejected(f"the runtime rejected this plugin: {status.message}")
