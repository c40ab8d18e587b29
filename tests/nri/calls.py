"""Call a plugin directly, without a connection, and read its log."""

from __future__ import annotations

from typing import Any

from oci_systemd.core.host import Host
from oci_systemd.core.settings import Settings
from oci_systemd.host.log import Entry
from oci_systemd.nri.messages import MESSAGES
from oci_systemd.nri.node import Node
from oci_systemd.nri.plugin import SERVICE, Plugin


class Asked:
    """`plugin`, with the entries that it logs in `said`; `ask` it, or have it `create`."""

    def __init__(
        self,
        settings: Settings | None = None,
        host: Host | None = None,
        *,
        selinux: bool = False,
        takes_args: bool = True,
    ) -> None:
        self.said: list[Entry] = []
        self.shown: list[tuple[str, Any]] = []
        node = Node(settings or Settings(), host or Host(), selinux)
        self.plugin = Plugin(node, self.said.append, lambda *shown: self.shown.append(shown))
        self.plugin.serve_runtime(takes_args=takes_args)

    def ask(self, method: str, message: Any = None, *, service: str = SERVICE) -> Any:
        """Return the Response to a call, after the plugin's deferred work is done."""
        payload = message.SerializeToString() if message is not None else b""
        request = MESSAGES["Request"](service=service, method=method, payload=payload)
        response = MESSAGES["Response"].FromString(self.plugin.answer(request.SerializeToString()))
        self.rest()
        return response

    def rest(self) -> None:
        while self.plugin.waiting:
            self.plugin.do_later()

    def create(self, request: Any) -> Any:
        """The ContainerAdjustment, None for none. An AssertionError with the runtime's sentence where it fails."""
        response = self.ask("CreateContainer", request)
        assert not response.status.code, response.status.message
        reply = MESSAGES["CreateContainerResponse"].FromString(response.payload)
        return reply.adjust if reply.HasField("adjust") else None

    @property
    def last(self) -> Entry:
        return self.said[-1]
