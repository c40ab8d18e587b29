"""Ask a running dockerd for its runtimes (GET /info, docs.docker.com/reference/api/engine).

Invariant: nothing is changed, and every wait has a limit.
"""

from __future__ import annotations

import json
import socket
from http.client import HTTPConnection, HTTPException
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

ANSWER = 5.0  # seconds for the answer
LONGEST = 4 << 20  # bytes of the answer


class _Connection(HTTPConnection):
    """HTTP over a Unix socket."""

    def __init__(self, place: Path) -> None:
        super().__init__("docker", timeout=ANSWER)
        self.place = place

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(ANSWER)
        self.sock.connect(str(self.place))


def runtimes(place: Path) -> set[str] | None:
    """Return the names of the runtimes of the daemon at the socket `place`; None if it does not report them. Raise OSError if it
    does not answer."""
    connection = _Connection(place)
    try:
        connection.request("GET", "/info")
        answer = connection.getresponse().read(LONGEST)
        found = json.loads(answer).get("Runtimes")
    except (HTTPException, ValueError, AttributeError) as error:
        raise OSError(f"not a Docker API: {error}") from None
    finally:
        connection.close()
    return {*found} if isinstance(found, dict) else None
