"""What stops a container in the end: the signal that its engine sends, and whether a wrapper is there to change it.

Law: what nothing tells is unknown. Who says what: podman libpod/container_internal_common.go and CRI-O
internal/factory/container write the signal down; containerd and Docker keep it to themselves (docs/stop.md).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from oci_systemd.core.signals import STOP_SIGNAL, TERM, name, number

if TYPE_CHECKING:
    from collections.abc import Mapping

IMAGE_SIGNAL = "org.opencontainers.image.stopSignal"
# Engines that write down what they send, and what they send where they wrote nothing.
WRITTEN = {"podman": TERM, "crio": TERM}
UNSEEN = (
    "unknown: its handler is not the wrapper; the image's STOPSIGNAL or the pod's lifecycle.stopSignal, else SIGTERM"
)
UNTOLD = "unknown: nothing tells whether the wrapper is called; it sends {name} ({number}) for SIGTERM"


class Stop(NamedTuple):
    """The signal's `name` and `number`, None where they are unknown or none is sent in SIGTERM's place; who sends it: "wrapper",
    "engine", or None; and `words` for people."""

    name: str | None
    number: int | None
    by: str | None
    words: str


def stop(engine: str, annotations: Mapping[str, str], *, front: bool | None) -> Stop:
    """How a container of `engine` with these annotations is stopped; `front` is whether the wrapper is its handler, None where
    that is unknown."""
    recorded = annotations.get(STOP_SIGNAL)
    if recorded is None:
        return Stop(None, None, None, "none is recorded: SIGTERM stays")
    wanted = number(recorded)
    if wanted is None:
        return Stop(recorded, None, None, f"{recorded}: SIGTERM stays")
    sent = _sent(engine, annotations)
    if sent not in (None, TERM) or (front is False and sent == TERM):
        return _by_engine(sent, wanted)
    if front:
        return Stop(name(wanted), wanted, "wrapper", f"{name(wanted)} ({wanted}), by the wrapper for SIGTERM")
    words = UNSEEN if front is False else UNTOLD.format(name=name(wanted), number=wanted)
    return Stop(None, None, None, words)


def _sent(engine: str, annotations: Mapping[str, str]) -> int | None:
    """The signal that the engine sends, where it tells."""
    if engine not in WRITTEN:
        return None
    return number(annotations.get(IMAGE_SIGNAL, "")) or WRITTEN[engine]


def _by_engine(sent: int | None, wanted: int) -> Stop:
    assert sent is not None
    words = f"{name(sent)} ({sent}), by the engine"
    if sent != wanted:
        words += f" in place of {name(wanted)} ({wanted})"
    return Stop(name(sent), sent, "engine", words)
