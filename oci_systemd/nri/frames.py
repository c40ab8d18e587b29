"""Turn bytes into ttrpc messages and back: NRI's multiplexing (nri, pkg/net/multiplex) and ttrpc's framing (ttrpc, PROTOCOL.md).

Law: no I/O. Any bytes, in any pieces, give the same messages or a ProtocolError, with time and memory in proportion to their
number.

    mux frame       u32be connection | u32be length | payload           a connection's payloads are one stream of bytes
    ttrpc message   u32be length | u32be stream | u8 kind | u8 flags | data
"""

from __future__ import annotations

from struct import Struct
from typing import TYPE_CHECKING, NamedTuple

from oci_systemd.core.errors import Problem

if TYPE_CHECKING:
    from collections.abc import Iterator

PLUGIN, RUNTIME = 1, 2  # connections: for the plugin's service, and for the runtime's
REQUEST, RESPONSE = 1, 2  # kinds of message

LONGEST_FRAME = (4 << 20) + 10  # NRI's writers split here; its readers have no limit
# ttrpc's limit is 4 MiB, but before v1.2.6 it does not apply to sending, and before NRI v0.7 Synchronize is one message.
LONGEST_MESSAGE = 256 << 20
# The reader in Go reads a frame in pieces of 4096 bytes, and loses one whose message is longer (ENOMEM, nri v0.2 to v0.12).
FIRST_FRAME = 4096

_MUX = Struct(">II")
_HEADER = Struct(">IIBB")


class ProtocolError(Problem):
    """The other end does not follow the protocol; the connection cannot be used any more."""


class Message(NamedTuple):
    """One ttrpc message, with its connection, stream and kind."""

    connection: int
    stream: int
    kind: int
    data: bytes


class Frames:
    """The bytes received on one NRI connection. Call `receive`, then read `messages`."""

    def __init__(self) -> None:
        self._frames = bytearray()
        self._streams: dict[int, bytearray] = {PLUGIN: bytearray(), RUNTIME: bytearray()}

    def receive(self, data: bytes) -> None:
        """Add bytes from the socket."""
        self._frames += data

    def messages(self) -> Iterator[Message]:
        """Yield the complete messages. Raise ProtocolError if the bytes are invalid."""
        at = 0
        try:
            while at + _MUX.size <= len(self._frames):
                connection, length = _MUX.unpack_from(self._frames, at)
                if length > LONGEST_FRAME:
                    raise ProtocolError(f"frame too large: {length} bytes; the limit is {LONGEST_FRAME}")
                end = at + _MUX.size + length
                if end > len(self._frames):
                    break
                payload = self._frames[at + _MUX.size : end]
                at = end
                yield from self._of_stream(connection, payload)
        finally:
            del self._frames[:at]

    def _of_stream(self, connection: int, payload: bytearray) -> Iterator[Message]:
        """Yield the messages that `payload` completes. Bytes for an unknown connection are dropped, as in NRI."""
        stream = self._streams.get(connection)
        if stream is None:
            return
        stream += payload
        at = 0
        try:
            while at + _HEADER.size <= len(stream):
                length, number, kind, _ = _HEADER.unpack_from(stream, at)
                if length > LONGEST_MESSAGE:
                    raise ProtocolError(f"message too large: {length} bytes; the limit is {LONGEST_MESSAGE}")
                end = at + _HEADER.size + length
                if end > len(stream):
                    break
                data = bytes(stream[at + _HEADER.size : end])
                at = end
                yield Message(connection, number, kind, data)
        finally:
            del stream[:at]


def encoded(message: Message) -> bytes:
    """Return the bytes of `message`: a first frame that every reader accepts, then as few frames as possible."""
    connection, stream, kind, data = message
    whole = _HEADER.pack(len(data), stream, kind, 0) + data
    ends = [FIRST_FRAME, *range(FIRST_FRAME + LONGEST_FRAME, len(whole) + LONGEST_FRAME, LONGEST_FRAME)]
    frames, start = [], 0
    for end in ends:
        if frame := whole[start:end]:
            frames += [_MUX.pack(connection, len(frame)), frame]
        start = end
    return b"".join(frames)
