"""The other end of a container's terminal: takes it from the runtime over --console-socket and keeps reading, as an engine does."""

import array
import socket
import threading
from pathlib import Path


class Terminal:
    def __init__(self, path: Path) -> None:
        self._server = socket.socket(socket.AF_UNIX)
        self._server.bind(str(path))
        self._server.listen(1)
        self._closed = threading.Event()
        self.said = b""
        threading.Thread(target=self._serve, daemon=True).start()

    def _serve(self) -> None:
        try:
            connection, _ = self._server.accept()
        except OSError:  # closed before any runtime came
            return
        with connection:
            master = received(connection)
        self._drain(master)

    def _drain(self, master: int) -> None:
        with open(master, "rb", buffering=0) as terminal:
            while not self._closed.wait(0):
                try:
                    self.said += terminal.read(4096)
                except OSError:  # EIO while nobody has it open: systemd opens and closes its console for each line
                    self._closed.wait(0.01)

    def close(self) -> None:
        self._closed.set()
        self._server.close()


def received(connection: socket.socket) -> int:
    """The one descriptor that a runtime sends (runc's docs/terminals.md)."""
    descriptors = array.array("i")
    _, ancillary, _, _ = connection.recvmsg(4096, socket.CMSG_SPACE(descriptors.itemsize))
    descriptors.frombytes(ancillary[0][2][: descriptors.itemsize])
    return descriptors[0]
