"""Answers for containers, computed once for each shape, since a node's containers have few shapes.

Law: a cached answer equals the one that would be computed now. The cache has a limit, whatever pods ask for.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from oci_systemd.core.adjust import Adjustment, adjust
from oci_systemd.core.detect import strictly
from oci_systemd.core.edits import CONTAINER_UUID
from oci_systemd.core.machine_id import made
from oci_systemd.core.shape import shape
from oci_systemd.core.signals import STOP_SIGNAL, TERM
from oci_systemd.nri.convert import Beyond, encode
from oci_systemd.nri.messages import MESSAGES

if TYPE_CHECKING:
    from collections.abc import Hashable

    from oci_systemd.core.container import Container
    from oci_systemd.nri.node import Node

    Message = Any  # a protobuf message of the table

MOST = 128  # cached answers
LONGEST = 16 << 10  # bytes of a request whose answer is cached: a few megabytes at most


class Answer(NamedTuple):
    """The adjustment of one container of a shape, and the message for all of them, None if nothing is adjusted. Beside it: the
    source of each one's machine-id, "" for none, and the number of the signal that should stop it."""

    adjustment: Adjustment
    message: Message | None = None
    machine_id_source: str = ""
    stop_signal: int = TERM

    def message_for(self, container: Container) -> Message | None:
        """Return the ContainerAdjustment of a container of this shape, or None."""
        if not self.machine_id_source:
            return self.message
        message = MESSAGES["ContainerAdjustment"]()
        message.CopyFrom(self.message)
        message.env.add(key=CONTAINER_UUID, value=made(container, self.machine_id_source))
        return message


class Answers:
    """The answers for one state of the node, and for a runtime that supports arguments or not."""

    def __init__(self, node: Node, *, takes_args: bool) -> None:
        self._node = node
        self._takes_args = takes_args
        self._known: dict[Hashable, Answer] = {}

    def to(self, request: Message, container: Container) -> Answer:
        """Return the Answer for the shape of a request's container. Raise a Problem if the container must not start."""
        # The adjustment depends on the container; its encoding also on whether the stop signal is the container's or the pod's.
        key = shape(container), STOP_SIGNAL in request.container.annotations
        known = self._known.get(key)
        if known is not None:
            return known
        answer = self._worked_out(request.container, container)
        if request.ByteSize() <= LONGEST:
            if len(self._known) == MOST:
                self._known.clear()
            self._known[key] = answer
        return answer

    def _worked_out(self, given: Message, container: Container) -> Answer:
        adjustment = adjust(container, self._node.settings, self._node.host)
        if not adjustment.edits:
            return Answer(adjustment)
        try:
            draft = encode(given, container, adjustment, takes_args=self._takes_args)
        except Beyond as beyond:
            verdict = adjustment.verdict
            if verdict.asked or not verdict.wanted:
                raise
            if self._node.settings.flag("detect.strict"):
                raise Beyond(strictly(str(beyond))) from None
            return Answer(Adjustment(verdict.but(str(beyond)), []))
        adjustment.warnings += draft.reports
        return Answer(adjustment, draft.message, draft.machine_id_source, draft.stop_signal)
