"""What comes over NRI's socket. Any bytes, in any pieces, give messages or a ProtocolError; any message has an answer of its own.

An input is the size of the pieces, and then the bytes.
"""

from __future__ import annotations

import atheris  # type: ignore[import-untyped]

with atheris.instrument_imports(include=["oci_systemd"]):
    from oci_systemd.nri import frames
    from oci_systemd.nri.messages import MESSAGES
    from oci_systemd.nri.plugin import CALLS, SERVICE, TOLD

from tests.fuzz.run import run
from tests.nri.calls import Asked
from tests.nri.requests import request, spec


def check(data: bytes) -> None:
    size = data[0] + 1 if data else 1
    found = outcome([data[1 + start : 1 + start + size] for start in range(0, len(data) - 1, size)])
    assert found == outcome([data[1:]])
    asked = Asked()
    for message in found or ():
        assert outcome([frames.encoded(message)]) == [message]
        response = MESSAGES["Response"].FromString(asked.plugin.answer(message.data))
        assert not (response.status.code and response.payload)
    asked.rest()


def outcome(pieces: list[bytes]) -> list[frames.Message] | None:
    """The messages in these pieces; None if they are invalid."""
    state = frames.Frames()
    found: list[frames.Message] = []
    try:
        for piece in pieces:
            state.receive(piece)
            found += state.messages()
    except frames.ProtocolError:
        return None
    return found


def seeds() -> list[bytes]:
    """A connection as a runtime makes it."""
    calls = [("Configure", b""), ("Synchronize", b"\x18\x01"), ("StateChange", b"\x08\x07"), ("Unheard", b"")]
    calls += [("CreateContainer", request(each).SerializeToString()) for each in (spec(), spec("/bin/sh"))]
    found = []
    for stream, (method, payload) in enumerate(calls):
        data = MESSAGES["Request"](service=SERVICE, method=method, payload=payload).SerializeToString()
        found.append(frames.encoded(frames.Message(frames.PLUGIN, stream, frames.REQUEST, data)))
    return [bytes([piece]) + b"".join(found) for piece in (0, 9, 255)] + [b"\xff" + each for each in found]


def main() -> None:
    run(check, seeds(), [SERVICE, *CALLS, *TOLD])


if __name__ == "__main__":
    main()
