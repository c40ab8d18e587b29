"""Ask a running engine for its runtime handlers with the CRI's Status call. Its files only show the state after its next start.

Invariant: nothing is changed, and every wait has a limit.

h2 implements HTTP/2; the one unary gRPC call (grpc, PROTOCOL-HTTP2.md) takes 30 lines here. Why not grpclib: it needs multidict,
which is compiled for each architecture and Python, and asyncio; Debian 12, which our package supports, has no python3-grpclib; and
the call would still need a deadline, a limit on the answer's size, and messages without protoc. Why not grpcio: megabytes of C++.
h2 is pure Python, and every distribution has it.
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
PREFIX = struct.Struct(">?I")  # before a message: whether it is compressed, and its length
LONGEST = 16 << 20  # bytes of an answer
# cri-api, StatusResponse: its handlers since Kubernetes 1.30 (CRI-O 1.30, containerd 2.0); containerd 1 has them in its `config`.
TABLE = """
StatusResponse info=2M runtime_handlers=3RuntimeHandler*
RuntimeHandler name=1s
"""


def handlers(place: Path) -> set[str] | None:
    """Return the handlers of the engine at the socket `place`; None if it does not report them. Raise OSError or H2Error if it does
    not answer."""
    from google.protobuf.message import DecodeError

    from oci_systemd.nri.table import messages

    with socket.socket(socket.AF_UNIX) as peer:
        peer.settimeout(ANSWER)
        peer.connect(str(place))
        said = _call(peer, VERBOSE)
    try:
        answer = messages("cri.status", TABLE)["StatusResponse"].FromString(said)
    except DecodeError:
        raise OSError("not a CRI server") from None
    with suppress(ValueError, KeyError, TypeError):
        return {*json.loads(answer.info["config"])["containerd"]["runtimes"]}
    return {each.name for each in answer.runtime_handlers} or None


def _call(peer: socket.socket, message: bytes) -> bytes:
    """Return the message in the answer to STATUS."""
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
    raise OSError("timed out, or the connection was closed")


def _unframed(data: bytes) -> bytes:
    """Return the one message in an answer. It is not compressed, since the call did not offer compression."""
    if len(data) < PREFIX.size:
        raise OSError("not a CRI server")
    compressed, length = PREFIX.unpack_from(data)
    if compressed or len(data) != PREFIX.size + length:
        raise OSError("the answer is incomplete")
    return data[PREFIX.size :]
