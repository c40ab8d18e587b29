"""Which signal stops a container: the one that its engine sends, or the one that the wrapper sends instead.

Law: without a source, the signal is unknown. podman (libpod/container_internal_common.go) and CRI-O (internal/factory/container)
write it into the spec; containerd and Docker do not (docs/stop.md).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from oci_systemd.core.signals import STOP_SIGNAL, TERM, name, number

if TYPE_CHECKING:
    from collections.abc import Mapping

IMAGE_SIGNAL = "org.opencontainers.image.stopSignal"
# Engines that write the signal into the spec, and their default.
WRITTEN = {"podman": TERM, "crio": TERM}
UNSEEN = (
    "unknown: its runtime is not the wrapper; the image's STOPSIGNAL or the pod's lifecycle.stopSignal, else SIGTERM"
)
UNTOLD = "unknown: its runtime may be the wrapper, which sends {name} ({number}) in place of SIGTERM"


class Stop(NamedTuple):
    """The signal's `name` and `number`, None if unknown, or if SIGTERM is not replaced; who sends it: "wrapper", "engine" or None;
    and `words` for people."""

    name: str | None
    number: int | None
    by: str | None
    words: str


def stop(engine: str, annotations: Mapping[str, str], *, front: bool | None) -> Stop:
    """Return how a container of `engine` with these annotations is stopped; `front` tells whether its runtime is the wrapper, None
    if unknown."""
    recorded = annotations.get(STOP_SIGNAL)
    if recorded is None:
        return Stop(None, None, None, "none recorded: SIGTERM is kept")
    wanted = number(recorded)
    if wanted is None:
        return Stop(recorded, None, None, f"{recorded}: SIGTERM is kept")
    sent = _sent(engine, annotations)
    if sent not in (None, TERM) or (front is False and sent == TERM):
        return _by_engine(sent, wanted)
    if front:
        return Stop(name(wanted), wanted, "wrapper", f"{name(wanted)} ({wanted}), by the wrapper in place of SIGTERM")
    words = UNSEEN if front is False else UNTOLD.format(name=name(wanted), number=wanted)
    return Stop(None, None, None, words)


def _sent(engine: str, annotations: Mapping[str, str]) -> int | None:
    """Return the signal that the engine sends, if known."""
    if engine not in WRITTEN:
        return None
    return number(annotations.get(IMAGE_SIGNAL, "")) or WRITTEN[engine]


def _by_engine(sent: int | None, wanted: int) -> Stop:
    assert sent is not None
    words = f"{name(sent)} ({sent}), by the engine"
    if sent != wanted:
        words += f" in place of {name(wanted)} ({wanted})"
    return Stop(name(sent), sent, "engine", words)
