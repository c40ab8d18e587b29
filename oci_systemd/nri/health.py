"""Whether the plugin is connected, for who asks from beside it: a probe in the same pod, a person on the node.

Law: no file. A socket in the abstract namespace (unix(7)) goes with its process; the answer counts only if that process
is of the same user or root's.
"""

from __future__ import annotations

import os
import socket
import struct
from contextlib import suppress
from zlib import crc32

from oci_systemd.core.errors import Problem
from oci_systemd.host.files import SHORTAGES

PATIENCE = 5.0  # seconds that the plugin may take to answer
CONNECTED = "connected"
_CREDENTIALS = struct.Struct("3i")  # pid, uid, gid (unix(7), SO_PEERCRED)


def address(path: str, idx: str, name: str) -> str:
    """Where the plugin `idx`-`name` at the runtime's socket `path` answers."""
    return f"\0oci-systemd/nri/{idx}-{name}/{crc32(os.fsencode(path)):08x}"


class Health:
    """The plugin's side. `socket` is to be polled; `answer` who comes."""

    def __init__(self, at: str) -> None:
        """An OSError where another process has that place."""
        self._spare: int | None = _spare()
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_NONBLOCK)
        try:
            self.socket.bind(at)
            self.socket.listen()
        except OSError:
            self.socket.close()
            raise

    def answer(self, state: str) -> None:
        """Tell one who asks."""
        with suppress(OSError):
            with self._accepted() as peer:
                peer.send(state.encode(), socket.MSG_DONTWAIT | socket.MSG_NOSIGNAL)
            if self._spare is None:
                self._spare = _spare()

    def _accepted(self) -> socket.socket:
        """Who asks, by the spare descriptor where no other is left: he would be met again at once, and for ever. An OSError where
        there is nobody."""
        try:
            return self.socket.accept()[0]
        except OSError as error:
            if error.errno not in SHORTAGES or self._spare is None:
                raise
        os.close(self._spare)
        self._spare = None
        return self.socket.accept()[0]


def _spare() -> int:
    return os.open(os.devnull, os.O_RDONLY | os.O_CLOEXEC)


def check(at: str) -> str:
    """What the plugin at this place says of itself. A Problem where there is none, or it is not connected."""
    peer = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    peer.settimeout(PATIENCE)
    with peer:
        try:
            peer.connect(at)
            owner = _CREDENTIALS.unpack(peer.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _CREDENTIALS.size))[1]
            state = b"".join(iter(lambda: peer.recv(4096), b"")).decode(errors="replace")
        except OSError as error:
            raise Problem(f"no plugin answers for these options: {error.strerror or error}") from None
    if owner not in (0, os.geteuid()):
        raise Problem(f"who answers as the plugin is user {owner}: another program has taken its place")
    if not state.startswith(CONNECTED):
        raise Problem(state or "the plugin says nothing")
    return state
