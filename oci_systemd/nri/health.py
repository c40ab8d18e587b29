"""Report whether the plugin is connected, to a probe in the same pod or to a person on the node.

Law: no file. A socket in the abstract namespace (unix(7)) is removed with its process. An answer counts only if the process belongs
to the same user or to root.
"""

from __future__ import annotations

import os
import socket
import struct
from contextlib import suppress
from zlib import crc32

from oci_systemd.core.errors import Problem
from oci_systemd.host.files import SHORTAGES

PATIENCE = 5.0  # seconds to wait for an answer
CONNECTED = "connected"
_CREDENTIALS = struct.Struct("3i")  # pid, uid, gid (unix(7), SO_PEERCRED)


def address(path: str, idx: str, name: str) -> str:
    """Return the address of the plugin `idx`-`name` at the runtime's socket `path`."""
    return f"\0oci-systemd/nri/{idx}-{name}/{crc32(os.fsencode(path)):08x}"


class Health:
    """The plugin's side: poll `socket`, then call `answer`."""

    def __init__(self, at: str) -> None:
        """Raise OSError if another process uses that address."""
        self._spare: int | None = _spare()
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_NONBLOCK)
        try:
            self.socket.bind(at)
            self.socket.listen()
        except OSError:
            self.socket.close()
            raise

    def answer(self, state: str) -> None:
        """Send the state to one caller."""
        with suppress(OSError):
            with self._accepted() as peer:
                peer.send(state.encode(), socket.MSG_DONTWAIT | socket.MSG_NOSIGNAL)
            if self._spare is None:
                self._spare = _spare()

    def _accepted(self) -> socket.socket:
        """Return the caller's socket, with the spare descriptor if no other is left: otherwise poll would report the caller again
        and again. Raise OSError if there is no caller."""
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
    """Return the state of the plugin at this address. Raise a Problem if there is none, or it is not connected."""
    peer = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    peer.settimeout(PATIENCE)
    with peer:
        try:
            peer.connect(at)
            owner = _CREDENTIALS.unpack(peer.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _CREDENTIALS.size))[1]
            state = b"".join(iter(lambda: peer.recv(4096), b"")).decode(errors="replace")
        except OSError as error:
            raise Problem(f"no plugin is running with these options: {error.strerror or error}") from None
    if owner not in (0, os.geteuid()):
        raise Problem(f"the answer comes from a process of user {owner}, not from the plugin; end that process")
    if not state.startswith(CONNECTED):
        raise Problem(state or "the plugin did not answer")
    return state
