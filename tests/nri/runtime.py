"""The runtime's side of NRI, by version: its calls, their order, and the answers that it accepts.

It frames its messages as Go's writers do, and reads with the same `Frames` as the plugin.
"""

from __future__ import annotations

import socket
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from oci_systemd.nri.frames import PLUGIN, REQUEST, RESPONSE, RUNTIME, Frames, Message, encoded
from oci_systemd.nri.messages import MESSAGES
from oci_systemd.nri.plugin import SERVICE, UNIMPLEMENTED
from oci_systemd.nri.serve import RUNTIME_SERVICE

LIMIT = 20
"""Seconds for anything."""
OLD_EVENTS, NEW_EVENTS = 0x7FF, 0x3FFF
# enum Event
RUN_POD_SANDBOX, POST_START_CONTAINER, REMOVE_CONTAINER = 1, 7, 11


class Refused(Exception):
    """What the engine would say: the plugin's error status."""


@dataclass(frozen=True)
class Version:
    """An NRI as one engine has it."""

    name: str
    engine: str
    events: int = OLD_EVENTS
    chunks: bool = True
    """Whether Synchronize comes in several messages where it is long."""
    validates: bool = False
    own_calls: bool = False
    """Whether each event is a call of its own at first."""
    configures_first: bool = False
    """Whether Configure comes before the answer to RegisterPlugin."""


VERSIONS = {
    version.name: version
    for version in (
        Version("0.6.1", "1.7.24~ds1", chunks=False, configures_first=True),
        Version("0.8.0", "v2.1.9"),
        Version("0.10.0", "v2.2.0", NEW_EVENTS, validates=True),
        Version("0.11.0", "v2.2.7", NEW_EVENTS, validates=True),
        Version("0.12.0", "v2.3.4", NEW_EVENTS, validates=True, own_calls=True),
    )
}


class Peer:
    """A plugin that has connected. `handshake`, then `create` and `tell`."""

    def __init__(self, connection: socket.socket, version: Version) -> None:
        self.version = version
        self.socket = connection
        self.socket.settimeout(LIMIT)
        self.registered: Any = None
        self.falls_back: set[str] = set()
        self._frames = Frames()
        self._messages: Iterator[Message] = iter(())
        self._stream = -1

    def handshake(self, pods: Sequence[Any] = (), containers: Sequence[Any] = (), *, chunk: int = 0) -> None:
        """All that comes before the first event; containers in messages of CHUNK where the version can."""
        register = self._next()
        assert (register.connection, register.stream, register.kind) == (RUNTIME, 1, REQUEST)
        request = MESSAGES["Request"].FromString(register.data)
        assert (request.service, request.method) == (RUNTIME_SERVICE, "RegisterPlugin")
        self.registered = MESSAGES["RegisterPluginRequest"].FromString(request.payload)
        if self.version.configures_first:
            self._configure()
            self.accept()
        else:
            self.accept()
            self._configure()
        self.synchronize(pods, containers, chunk=chunk)

    def accept(self, code: int = 0, said: str = "") -> None:
        """Answer RegisterPlugin."""
        response = MESSAGES["Response"](status={"code": code, "message": said} if code else None)
        self.socket.sendall(encoded(Message(RUNTIME, 1, RESPONSE, response.SerializeToString())))

    def _configure(self) -> None:
        fields = {"runtime_name": "containerd", "runtime_version": self.version.engine}
        if self.version.own_calls:
            fields["NRI_version"] = self.version.name
        events = self.call("Configure", "Configure", **fields).events
        assert events, "0 means every event"
        assert events & ~self.version.events == 0, "a bit that this version does not know"

    def synchronize(self, pods: Sequence[Any], containers: Sequence[Any], *, chunk: int = 0) -> None:
        size = chunk if chunk and self.version.chunks else max(1, len(containers))
        pieces = [containers[start : start + size] for start in range(0, len(containers), size)] or [containers]
        for index, piece in enumerate(pieces):
            more = index + 1 < len(pieces)
            reply = self.call("Synchronize", "Synchronize", pods=pods if not index else (), containers=piece, more=more)
            assert reply.more == more, "plugin does not handle split sync requests"

    def create(self, request: Any) -> Any:
        """The ContainerAdjustment, None for none. Refused where the container is not created."""
        reply = MESSAGES["CreateContainerResponse"].FromString(
            self.answer("CreateContainer", request.SerializeToString())
        )
        adjust = reply.adjust if reply.HasField("adjust") else None
        if self.version.validates:  # it asks only those that want to be, and none of our answers may be an error
            self.answer("ValidateContainerAdjustment", b"")
        return adjust

    def tell(self, event: int, name: str) -> None:
        """An event, by its own call where the version has one and the plugin takes it, else as a StateChange."""
        if self.version.own_calls and name not in self.falls_back:
            response = self._asked(name, b"")
            if response.status.code != UNIMPLEMENTED:
                assert not response.status.code, response.status.message
                return
            self.falls_back.add(name)
        self.answer("StateChange", bytes([8, event]))

    def call(self, method: str, message: str, **fields: Any) -> Any:
        payload = MESSAGES[f"{message}Request"](**fields).SerializeToString()
        return MESSAGES[f"{message}Response"].FromString(self.answer(method, payload))

    def answer(self, method: str, payload: bytes) -> bytes:
        """The payload of the plugin's answer. Refused where that is an error."""
        response = self._asked(method, payload)
        if response.status.code:
            raise Refused(response.status.message)
        data: bytes = response.payload
        return data

    def ask(self, method: str, payload: bytes) -> int:
        """Send a call; its stream."""
        self._stream += 2
        request = MESSAGES["Request"](service=SERVICE, method=method, payload=payload, timeout_nano=2_000_000_000)
        self.socket.sendall(encoded(Message(PLUGIN, self._stream, REQUEST, request.SerializeToString())))
        return self._stream

    def _asked(self, method: str, payload: bytes) -> Any:
        stream = self.ask(method, payload)
        answer = self._next()
        assert (answer.connection, answer.stream, answer.kind) == (PLUGIN, stream, RESPONSE)
        return MESSAGES["Response"].FromString(answer.data)

    def _next(self) -> Message:
        while (message := next(self._messages, None)) is None:
            data = self.socket.recv(1 << 16)
            if not data:
                raise EOFError("the plugin has closed the connection")
            self._frames.receive(data)
            self._messages = self._frames.messages()
        return message

    def is_closed(self) -> bool:
        """Whether the plugin closes the connection; waits for that."""
        try:
            return not self.socket.recv(1)
        except ConnectionError:
            return True

    def close(self) -> None:
        self.socket.close()


class Runtime:
    """A runtime that listens at a path, from `start` to `stop`."""

    def __init__(self, path: Path, version: Version = VERSIONS["0.8.0"]) -> None:
        self.path = path
        self.version = version
        self.listener: socket.socket | None = None

    def start(self) -> None:
        """As NRI does: remove an existing socket, and make a new one."""
        self.path.unlink(missing_ok=True)
        self.listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.listener.bind(str(self.path))
        self.listener.listen()
        self.listener.settimeout(LIMIT)

    def stop(self) -> None:
        if self.listener:
            self.listener.close()
            self.path.unlink(missing_ok=True)
            self.listener = None

    def accepted(self) -> Peer:
        """The next plugin that connects, not greeted yet."""
        assert self.listener
        return Peer(self.listener.accept()[0], self.version)

    def plugin(self) -> Peer:
        """The next plugin that connects, ready for events."""
        peer = self.accepted()
        peer.handshake()
        return peer
