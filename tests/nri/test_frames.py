"""Bytes to messages and back: in whatever pieces they come, and whatever they are."""

from __future__ import annotations

import struct
import tracemalloc

import pytest
from hypothesis import given
from hypothesis import strategies as st

from oci_systemd.nri.frames import (
    FIRST_FRAME,
    LONGEST_FRAME,
    LONGEST_MESSAGE,
    PLUGIN,
    RESPONSE,
    RUNTIME,
    Frames,
    Message,
    ProtocolError,
    encoded,
)


def taken(*pieces: bytes) -> list[Message]:
    frames = Frames()
    found: list[Message] = []
    for piece in pieces:
        frames.receive(piece)
        found += frames.messages()
    return found


def frame(connection: int, payload: bytes) -> bytes:
    return struct.pack(">II", connection, len(payload)) + payload


def message(data: bytes, stream: int = 1, kind: int = 1) -> bytes:
    return struct.pack(">IIBB", len(data), stream, kind, 0) + data


def cut(data: bytes, size: int) -> list[bytes]:
    return [data[start : start + size] for start in range(0, len(data), size)]


SIZES = [
    0,
    1,
    FIRST_FRAME - 11,
    FIRST_FRAME - 10,
    FIRST_FRAME - 9,
    100_000,
    LONGEST_FRAME + FIRST_FRAME,
    3 * LONGEST_FRAME,
]


@pytest.mark.parametrize("size", SIZES)
def test_what_is_encoded_is_taken(size: int) -> None:
    sent = Message(PLUGIN, 7, RESPONSE, b"x" * size)
    assert taken(*cut(encoded(sent), 1 << 18)) == [sent]


@pytest.mark.parametrize("size", SIZES)
def test_a_long_message_is_split_as_every_runtime_takes_it(size: int) -> None:
    """The first frame is no longer than a Go reader's buffer, no other than what NRI writes, and there are few of them."""
    data = encoded(Message(PLUGIN, 7, RESPONSE, b"x" * size))
    lengths = []
    while data:
        connection, length = struct.unpack_from(">II", data)
        assert connection == PLUGIN
        lengths.append(length)
        data = data[8 + length :]
    assert lengths[0] <= FIRST_FRAME
    assert max(lengths) <= LONGEST_FRAME
    assert len(lengths) == 1 + -(-max(0, size + 10 - FIRST_FRAME) // LONGEST_FRAME)


TOGETHER = {
    "two in a frame": (frame(1, message(b"a") + message(b"b", 3)), [b"a", b"b"]),
    "one in three frames": (frame(1, message(b"abc")[:5]) + frame(1, b"") + frame(1, message(b"abc")[5:]), [b"abc"]),
    "two connections through each other": (
        frame(1, message(b"abc")[:5]) + frame(2, message(b"xyz")) + frame(1, message(b"abc")[5:]),
        [b"xyz", b"abc"],
    ),
    "a connection that there is not": (frame(0, message(b"a")) + frame(3, b"x" * 99) + frame(1, message(b"b")), [b"b"]),
    "half a message": (frame(1, message(b"a") + message(b"bcd")[:-1]), [b"a"]),
}


@pytest.mark.parametrize(("data", "expected"), TOGETHER.values(), ids=TOGETHER)
@pytest.mark.parametrize("size", [1, 3, 1000])
def test_connections_are_streams_of_their_own(data: bytes, expected: list[bytes], size: int) -> None:
    assert [each.data for each in taken(*cut(data, size))] == expected


WRONG = {
    "a frame that NRI does not make": frame(1, b"")[:4] + struct.pack(">I", LONGEST_FRAME + 1),
    "a message beyond all measure": frame(1, struct.pack(">IIBB", LONGEST_MESSAGE + 1, 1, 1, 0)),
    "HTTP": b"HTTP/1.1 400 Bad Request\r\n\r\n",
}


@pytest.mark.parametrize("data", WRONG.values(), ids=WRONG)
def test_what_is_no_nri_is_told(data: bytes) -> None:
    with pytest.raises(ProtocolError):
        taken(data)


def test_messages_before_what_is_wrong_are_taken_first() -> None:
    frames = Frames()
    frames.receive(frame(1, message(b"a")) + frame(1, b"")[:4] + struct.pack(">I", LONGEST_FRAME + 1))
    found = frames.messages()
    assert next(found).data == b"a"
    with pytest.raises(ProtocolError):
        next(found)


@given(st.lists(st.tuples(st.sampled_from([PLUGIN, RUNTIME]), st.binary(max_size=50)), max_size=5), st.integers(1, 60))
def test_pieces_do_not_matter(sent: list[tuple[int, bytes]], size: int) -> None:
    messages = [Message(connection, number, 1, data) for number, (connection, data) in enumerate(sent)]
    assert taken(*cut(b"".join(map(encoded, messages)), size)) == messages


@given(st.lists(st.binary(max_size=40), max_size=6))
def test_any_bytes_give_messages_or_a_protocol_error(pieces: list[bytes]) -> None:
    def outcome(*pieces: bytes) -> list[Message] | None:
        try:
            return taken(*pieces)
        except ProtocolError:
            return None

    assert outcome(*pieces) == outcome(b"".join(pieces))


def test_a_stream_of_messages_leaves_nothing_behind() -> None:
    frames, data = Frames(), encoded(Message(PLUGIN, 1, 1, b"x" * 10_000))
    tracemalloc.start()
    for _ in range(2000):
        frames.receive(data)
        assert len([*frames.messages()]) == 1
    kept, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert kept < 100_000
