"""The runtime handlers that an engine has in effect, by the CRI's Status: its files tell what a later start would make of them.

Invariant: it looks, and waits no longer than its bound.

gRPC over HTTP/2 is h2's; here is its one unary call (grpc, PROTOCOL-HTTP2.md), 30 lines. grpclib was weighed: it would bring
multidict, which is compiled for each architecture and Python, and asyncio; Debian 12, which our package is for, has no
python3-grpclib; and the call would still need a deadline, a bound on the answer's size, and messages without protoc. grpcio is
megabytes of C++. h2 is pure Python, and a package of every distribution.
"""

from __future__ import annotations

import json
import socket
import struct
import time
from contextlib import suppress
from typing import TYPE_CHECKING

from h2.config import H2Configuration
from h2.connection import H2Connection
from h2.events import ConnectionTerminated, DataReceived, StreamEnded, StreamReset

if TYPE_CHECKING:
    from pathlib import Path

ANSWER = 5.0  # seconds for one answer
STATUS = "/runtime.v1.RuntimeService/Status"
VERBOSE = b"\x08\x01"  # StatusRequest{verbose: true}
CHUNK = 1 << 16
PREFIX = struct.Struct(">?I")  # of a message: whether it is compressed, and its length
LONGEST = 16 << 20  # bytes of an answer
# cri-api, StatusResponse: its handlers since Kubernetes 1.30 (CRI-O 1.30, containerd 2.0); containerd 1 has them in its `config`.
TABLE = """
StatusResponse info=2M runtime_handlers=3RuntimeHandler*
RuntimeHandler name=1s
"""


def handlers(place: Path) -> set[str] | None:
    """The handlers that the engine at the socket `place` has in effect; None where it does not say. An OSError or H2Error where it
    does not answer."""
    from google.protobuf.message import DecodeError

    from oci_systemd.nri.table import messages

    with socket.socket(socket.AF_UNIX) as peer:
        peer.settimeout(ANSWER)
        peer.connect(str(place))
        said = _call(peer, VERBOSE)
    try:
        answer = messages("cri.status", TABLE)["StatusResponse"].FromString(said)
    except DecodeError:
        raise OSError("it serves no CRI") from None
    with suppress(ValueError, KeyError, TypeError):
        return {*json.loads(answer.info["config"])["containerd"]["runtimes"]}
    return {each.name for each in answer.runtime_handlers} or None


def _call(peer: socket.socket, message: bytes) -> bytes:
    """The message that STATUS answers with."""
    connection = H2Connection(H2Configuration(client_side=True, header_encoding="utf-8"))
    connection.initiate_connection()
    stream = connection.get_next_available_stream_id()
    headers = [(":method", "POST"), (":scheme", "http"), (":path", STATUS), (":authority", "localhost")]
    connection.send_headers(stream, [*headers, ("content-type", "application/grpc"), ("te", "trailers")])
    connection.send_data(stream, PREFIX.pack(False, len(message)) + message, end_stream=True)
    peer.sendall(connection.data_to_send())
    data = b""
    end = time.monotonic() + ANSWER
    while time.monotonic() < end and (part := peer.recv(CHUNK)):
        for event in connection.receive_data(part):
            if isinstance(event, DataReceived):
                data += event.data or b""
                connection.acknowledge_received_data(event.flow_controlled_length or 0, stream)
            elif isinstance(event, StreamEnded | StreamReset | ConnectionTerminated):
                return _unframed(data)
        if len(data) > LONGEST:
            break
        with suppress(BrokenPipeError):
            peer.sendall(connection.data_to_send())
    raise OSError("it has closed the connection, or is too slow")


def _unframed(data: bytes) -> bytes:
    """The one message in an answer, uncompressed since nothing else was asked for."""
    if len(data) < PREFIX.size:
        raise OSError("it serves no CRI")
    compressed, length = PREFIX.unpack_from(data)
    if compressed or len(data) != PREFIX.size + length:
        raise OSError("its answer is cut off")
    return data[PREFIX.size :]
