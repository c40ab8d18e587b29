"""Messages about how a container will be stopped: NRI neither shows nor changes the stop signal.

Law: no message if the signal is already right, and each message once for each workload: a rollout of a hundred pods gives one line.
Sources: containerd internal/cri/server/container_stop.go (lifecycle.stopSignal since 2.3, 1b1aba4b6), CRI-O
internal/factory/container and internal/oci (it does not know SIGRTMINPLUS3, the name in the CRI), docs/stop.md.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, NamedTuple

from oci_systemd.core.container import CRIO
from oci_systemd.core.rules import KILL_SIGNAL
from oci_systemd.core.signals import TERM, name, number

if TYPE_CHECKING:
    from collections.abc import Iterator

    from oci_systemd.core.container import Container

    Message = Any  # a protobuf message of the table

IMAGE_SIGNAL = "org.opencontainers.image.stopSignal"  # CRI-O's annotation with the image's STOPSIGNAL
LIFECYCLE_SINCE = (2, 3)  # containerd's version
MOST = 1024  # workloads in memory

# Names of the pods of a workload in Kubernetes: NAME-HASH-RANDOM, NAME-MINUTES-RANDOM, NAME-RANDOM or NAME-ORDINAL (apimachinery,
# util/rand, SafeEncodeString; apiserver, storage/names).
LETTERS = "[bcdfghjklmnpqrstvwxz2456789]"
OWN_PART = re.compile(rf"(-{LETTERS}{{6,10}}|-\d{{8,}})?-{LETTERS}{{5}}$|-\d+$")

WANTED = "for a clean stop, set STOPSIGNAL {signal} in the image"
UNSEEN = "containerd does not report the stop signal, and SIGTERM makes systemd re-execute itself; " + WANTED
LIFECYCLE = UNSEEN + ", or lifecycle.stopSignal {signal} in the pod"
TOO_OLD = UNSEEN + " (lifecycle.stopSignal has no effect before containerd 2.3)"
CRIO_SENDS = "CRI-O sends {sent} as the stop signal; " + WANTED + " (CRI-O ignores lifecycle.stopSignal SIGRTMIN+3)"
CRIO_DROPS = (
    f"CRI-O drops {KILL_SIGNAL} from plugins: a host that shuts down kills the container after 90 s; "
    "use the wrapper runtime, or kubelet's shutdownGracePeriod"
)
NO_PATH = "the engine does not report the container's cgroup: a host that shuts down may kill it after 90 s"


class Asked(NamedTuple):
    """A container with a stop signal: the `runtime` as `name version`, its `request`, and the number of the `signal` that should
    stop it. Messages use names made from numbers, since a pod's author may write a text of any length."""

    runtime: str
    request: Message
    signal: int


def sentences(asked: Asked, container: Container, *, sets_kill_signal: bool) -> Iterator[str]:
    """Yield what the container's owner may have to do for a clean stop."""
    crio = CRIO in asked.request.container.annotations
    yield from _of_crio(asked) if crio else _of_containerd(asked)
    if crio and sets_kill_signal:
        yield CRIO_DROPS
    if container.scope is None and KILL_SIGNAL not in asked.request.container.annotations:
        yield NO_PATH


def _of_containerd(asked: Asked) -> Iterator[str]:
    runtime, _, version = asked.runtime.partition(" ")
    known = re.match(r"v?(\d+)\.(\d+)", version) if runtime == "containerd" else None
    old = known and (int(known[1]), int(known[2])) < LIFECYCLE_SINCE
    yield (TOO_OLD if old else LIFECYCLE).format(signal=name(asked.signal))


def _of_crio(asked: Asked) -> Iterator[str]:
    """CRI-O uses SIGTERM if the signal is missing or unknown to it."""
    sent = number(asked.request.container.annotations.get(IMAGE_SIGNAL, "")) or TERM
    if sent != asked.signal:
        yield CRIO_SENDS.format(sent=name(sent), signal=name(asked.signal))


def workload(container: Container) -> str:
    """Return `namespace/name/container`, with the pod's name without the part that differs from pod to pod."""
    return f"{container.pod_namespace}/{OWN_PART.sub('', container.pod_name)}/{container.name}"


class Told:
    """The messages that were logged for each workload."""

    def __init__(self) -> None:
        self._said: set[tuple[str, str]] = set()

    def is_new(self, container: Container, sentence: str) -> bool:
        """Return whether `sentence` is new for the container's workload, and remember it."""
        key = workload(container), sentence
        if key in self._said:
            return False
        if len(self._said) == MOST:
            self._said.clear()
        self._said.add(key)
        return True
