"""The plugin: an answer for each call of the runtime. It has no socket; `serve` passes the calls to it.

Law: between a call and its answer there is only computation. Everything else waits in `later`. A container that asks for nothing
never fails because of the plugin.
"""

from __future__ import annotations

import time
from collections import deque
from functools import partial
from typing import TYPE_CHECKING, Any

from google.protobuf.message import DecodeError

from oci_systemd.core import annotations as a
from oci_systemd.core.adjust import adjust
from oci_systemd.core.annotations import Annotations
from oci_systemd.core.container import Container
from oci_systemd.core.detect import asks_for_cgroup
from oci_systemd.core.errors import Problem
from oci_systemd.core.rules import KILL_SIGNAL
from oci_systemd.core.shape import for_another
from oci_systemd.core.signals import ADJUSTED, TERM
from oci_systemd.host.log import Entry, of_adjustment
from oci_systemd.nri import stop
from oci_systemd.nri.answers import Answer, Answers
from oci_systemd.nri.convert import container
from oci_systemd.nri.counts import Counts
from oci_systemd.nri.messages import MESSAGES, PARTS, whole
from oci_systemd.nri.versions import takes_args

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from oci_systemd.nri.node import Node

    Message = Any  # a protobuf message of the table

SERVICE = "nri.pkg.api.v1alpha1.Plugin"
# gRPC's codes (google.rpc.Code)
FAILED_PRECONDITION, UNIMPLEMENTED, INTERNAL = 9, 12, 13
CREATE_CONTAINER = 1 << 3  # the only event: an empty set would mean all events (nri, plugin_type.go)
STOPPED = 4  # a container's state
# Calls that only inform, before v0.12 as StateChange. They get an empty answer.
TOLD = frozenset("""StateChange RunPodSandbox UpdatePodSandbox PostUpdatePodSandbox StopPodSandbox RemovePodSandbox
    PostCreateContainer StartContainer PostStartContainer UpdateContainer PostUpdateContainer StopContainer RemoveContainer
    ValidateContainerAdjustment Shutdown""".split())  # fmt: skip


class Failure(Problem):
    """An error as the answer to a call: its gRPC code, and a sentence that the engine shows."""

    def __init__(self, code: int, sentence: str) -> None:
        super().__init__(sentence)
        self.code = code


class Plugin:
    """`answer` each call; call `do_later` when there are no calls. `runtime` is the connected runtime, "" for none; it sends
    CreateContainer once the plugin `serves`: after the answer to Synchronize (nri, adaptation.go, startPlugin)."""

    def __init__(
        self, node: Node, log: Callable[[Entry], None], show: Callable[[str, Message | None], None] | None
    ) -> None:
        self.node = node
        self.takes_args = False
        self._answers = Answers(node, takes_args=False)
        self.counts = Counts()
        self.runtime = ""
        self.serves = False
        self._log = log
        self._show = show
        self._later: deque[Callable[[], None]] = deque()
        self._synchronizing: list[Message] = []
        self._unseen: Iterator[Message] | None = None  # containers that already ran and are not checked yet
        self._told: set[str] = set()  # reported missed containers, of those that ran at the last connection
        self._still: set[str] = set()  # and of those that run now
        self._told_of_stop = stop.Told()

    def see(self, node: Node) -> None:
        """Use these facts about the node from now on."""
        if not node.is_like(self.node):
            self._answers = Answers(node, takes_args=self.takes_args)
        self.node = node

    def serve_runtime(self, *, takes_args: bool) -> None:
        """Note whether the runtime supports arguments."""
        if takes_args != self.takes_args:
            self._answers = Answers(self.node, takes_args=takes_args)
        self.takes_args = takes_args

    def end(self) -> None:
        """Forget the connection, which has ended, after its last log lines."""
        while self._later:
            self._later.popleft()()
        self.runtime = ""
        self.serves = False
        self._synchronizing = []
        self._unseen = None
        self._told, self._still = self._told | self._still, set()

    def answer(self, data: bytes) -> bytes:
        """Return the Response to a Request, both in bytes."""
        try:
            request = MESSAGES["Request"].FromString(data)
            payload = self._payload(request)
        except Failure as failure:
            return _response(status=MESSAGES["Status"](code=failure.code, message=str(failure)))
        except Exception as error:
            self._say("error", "invalid call", f"{error!r}")
            return _response(status=MESSAGES["Status"](code=INTERNAL, message=f"oci-systemd: {error!r}"))
        return _response(payload=payload)

    @property
    def waiting(self) -> int:
        """The number of waiting tasks, plus one if running containers are still to be checked."""
        return len(self._later) + (self._unseen is not None)

    def do_later(self) -> None:
        """Do one waiting task: a log line, or the check of one container that already ran."""
        if self._later:
            self._later.popleft()()
        elif self._unseen is not None:
            self._look_at_next(self._unseen)

    def _payload(self, request: Message) -> bytes:
        if request.service == SERVICE and request.method in TOLD:
            return b""
        if request.service != SERVICE or request.method not in CALLS:
            raise Failure(UNIMPLEMENTED, f"unknown method {request.service}/{request.method}")
        name, call = CALLS[request.method]
        try:
            message = PARTS[name].FromString(request.payload)
            reply: bytes = call(self, message).SerializeToString()
        except DecodeError as error:  # the bytes are the runtime's; no container may fail because of them
            self._say("error", "left alone", f"invalid {name}: {error}")
            return b""
        return reply

    def _say(self, level: str, message: str, reason: str, of: Container | None = None) -> None:
        self._later.append(partial(self._log, Entry(level, message, of, reason)))

    # Calls

    def _configure(self, request: Message) -> Message:
        self.runtime = f"{request.runtime_name} {request.runtime_version}".strip()
        takes = takes_args(request.runtime_name, request.runtime_version, request.NRI_version)
        self.serve_runtime(takes_args=takes)
        self._say("info", "connected", f"to {self.runtime}")
        return MESSAGES["ConfigureResponse"](events=CREATE_CONTAINER)

    def _synchronize(self, request: Message) -> Message:
        """Running containers come in one message or several; they are checked after the answer to the last one."""
        self._synchronizing.append(request)
        if not request.more:
            self._unseen, self._synchronizing = _requests(self._synchronizing), []
            self.serves = True
        return MESSAGES["SynchronizeResponse"](more=request.more)

    def _create_container(self, request: Message) -> Message:
        begin = time.perf_counter()
        given: Container | None = None
        adjustment: Message = None
        try:
            given = container(request, selinux=self.node.selinux)
            adjustment = self._adjusted(request, given, begin)
        except Problem as problem:
            self.counts.refused += 1
            self._say("error", "refused", str(problem), given)
            raise Failure(FAILED_PRECONDITION, f"oci-systemd: {problem}") from None
        except DecodeError:
            raise
        except Exception as error:  # an internal error
            self._say("error", "left alone", f"internal error in oci-systemd: {error!r}", given)
            if _asks(request):
                raise Failure(INTERNAL, f"oci-systemd: internal error: {error!r}") from error
        finally:
            self.counts.observe(time.perf_counter() - begin)
        if self._show:
            self._later.append(partial(self._show_both, self._show, request, adjustment))
        return MESSAGES["CreateContainerResponse"](adjust=adjustment)

    def _adjusted(self, request: Message, given: Container, begin: float) -> Message:
        """Return the ContainerAdjustment, None if there is nothing to adjust. Raise a Problem if the container must not start."""
        answer = self._answers.to(request, given)
        message = answer.message_for(given)
        self.counts.adjusted += message is not None
        milliseconds = (time.perf_counter() - begin) * 1000
        if answer.stop_signal != TERM:
            self._later.append(partial(self._tell_of_stop, request, given, answer))
        self._later.append(lambda: self._log(of_adjustment(given, for_another(answer.adjustment, given), milliseconds)))
        return message

    def _tell_of_stop(self, request: Message, given: Container, answer: Answer) -> None:
        asked = stop.Asked(self.runtime, request, answer.stop_signal)
        sets_kill_signal = answer.message is not None and KILL_SIGNAL in answer.message.annotations
        for sentence in stop.sentences(asked, given, sets_kill_signal=sets_kill_signal):
            if self._told_of_stop.is_new(given, sentence):
                self._log(Entry("info", "stop", given, sentence))

    @staticmethod
    def _show_both(show: Callable[[str, Message | None], None], request: Message, adjustment: Message | None) -> None:
        show("CreateContainerRequest", whole(request))
        show("ContainerAdjustment", adjustment)

    # Containers that already run

    def _look_at_next(self, unseen: Iterator[Message]) -> None:
        request = next(unseen, None)
        if request is None:
            self._unseen = None
            self._told, self._still = self._still, set()
            return
        if request.container.state == STOPPED or ADJUSTED in request.container.annotations:
            return
        try:
            given = container(request, selinux=self.node.selinux)
            reason = self._missed(given)
        except Exception as error:  # an invalid container, or an internal error
            self._say("error", "left alone", f"container {request.container.id}: invalid: {error!r}")
            return
        if not reason:
            return
        self._still.add(given.id)
        if given.id not in self._told:
            self.counts.missed += 1
            self._log(Entry("warning", "missed", given, reason))

    def _missed(self, given: Container) -> str:
        """Return why a running container should have been adjusted, "" if it should not."""
        try:
            adjustment = adjust(given, self.node.settings, self.node.host)
        except Problem as problem:
            return f"created without this plugin, which would have refused it: {problem}"
        if not adjustment.edits:
            return ""
        return f"created without this plugin, and runs unmodified: {adjustment.verdict.reason}; create it again"


CALLS: dict[str, tuple[str, Callable[[Plugin, Message], Message]]] = {
    "Configure": ("ConfigureRequest", Plugin._configure),
    "Synchronize": ("SynchronizeRequest", Plugin._synchronize),
    "CreateContainer": ("CreateContainerRequest", Plugin._create_container),
}


def _response(**fields: Any) -> bytes:
    data: bytes = MESSAGES["Response"](**fields).SerializeToString()
    return data


def _requests(requests: Iterable[Message]) -> Iterator[Message]:
    """Yield each container of Synchronize with its pod, as in CreateContainer."""
    pods = {pod.id: pod for request in requests for pod in request.pods}
    for request in requests:
        for each in request.containers:
            yield PARTS["CreateContainerRequest"](pod=pods.get(each.pod_sandbox_id), container=each)


def _asks(request: Message) -> bool:
    """Return whether an annotation asks for an adjustment, by the simplest means, after an internal error."""
    both = {**request.pod.annotations, **request.container.annotations}
    given = Container(name=request.container.name, annotations=both)
    asked = Annotations(given)
    return asked.get(a.WANTED) == "true" or asks_for_cgroup(asked)
