"""What is said of how a container will be stopped: NRI neither shows its stop signal nor changes it.

Law: nothing is said where the signal is right already, and each sentence once for each workload: a rollout of a hundred pods needs
one line. Sources: containerd internal/cri/server/container_stop.go (lifecycle.stopSignal since 2.3, 1b1aba4b6), CRI-O
internal/factory/container and internal/oci (SIGRTMINPLUS3, the name in the CRI, is no signal to it), docs/stop.md.
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

IMAGE_SIGNAL = "org.opencontainers.image.stopSignal"  # CRI-O writes the image's STOPSIGNAL down for each container
LIFECYCLE_SINCE = (2, 3)  # containerd's version
MOST = 1024  # workloads that are remembered

# How Kubernetes names the pods of a workload: NAME-HASH-RANDOM, NAME-MINUTES-RANDOM, NAME-RANDOM or NAME-ORDINAL (apimachinery,
# util/rand, SafeEncodeString; apiserver, storage/names).
LETTERS = "[bcdfghjklmnpqrstvwxz2456789]"
OWN_PART = re.compile(rf"(-{LETTERS}{{6,10}}|-\d{{8,}})?-{LETTERS}{{5}}$|-\d+$")

WANTED = "to stop it cleanly, set STOPSIGNAL {signal} in the image"
UNSEEN = "containerd does not tell its stop signal, and SIGTERM makes systemd re-execute itself: " + WANTED
LIFECYCLE = UNSEEN + ", or lifecycle.stopSignal {signal} in the pod"
TOO_OLD = UNSEEN + " (lifecycle.stopSignal has no effect before containerd 2.3)"
CRIO_SENDS = "CRI-O sends it {sent}: " + WANTED + " (CRI-O does not take lifecycle.stopSignal SIGRTMIN+3)"
CRIO_DROPS = (
    f"CRI-O drops {KILL_SIGNAL} from plugins, so that a host that shuts down kills it after 90 s: "
    "use the wrapper runtime for it, or kubelet's shutdownGracePeriod"
)
NO_PATH = "the engine does not tell its cgroup: a host that shuts down may kill it after 90 s"


class Asked(NamedTuple):
    """A container whose stop matters: what the runtime is, `name version`; its `request`; the number of the `signal` that it
    should get. Sentences have names made from numbers: what a pod's author wrote may be of any length."""

    runtime: str
    request: Message
    signal: int


def sentences(asked: Asked, container: Container, *, sets_kill_signal: bool) -> Iterator[str]:
    """All that its owner may have to do for a clean stop."""
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
    """CRI-O takes what it cannot read, and none, for SIGTERM."""
    sent = number(asked.request.container.annotations.get(IMAGE_SIGNAL, "")) or TERM
    if sent != asked.signal:
        yield CRIO_SENDS.format(sent=name(sent), signal=name(asked.signal))


def workload(container: Container) -> str:
    """`namespace/name/container`, by the pod's name without what differs from pod to pod."""
    return f"{container.pod_namespace}/{OWN_PART.sub('', container.pod_name)}/{container.name}"


class Told:
    """Which sentences were said of which workloads."""

    def __init__(self) -> None:
        self._said: set[tuple[str, str]] = set()

    def is_new(self, container: Container, sentence: str) -> bool:
        """Return whether it was not said of the container's workload yet; from now on it was."""
        key = workload(container), sentence
        if key in self._said:
            return False
        if len(self._said) == MOST:
            self._said.clear()
        self._said.add(key)
        return True
