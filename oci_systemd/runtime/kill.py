"""`kill`: SIGTERM becomes the signal at which the container's systemd powers off."""

from __future__ import annotations

from oci_systemd.core.signals import is_term, recorded
from oci_systemd.host.state import comes_to_await, state

TYPE_CHECKING = False
if TYPE_CHECKING:
    from oci_systemd.core.argv import Invocation
    from oci_systemd.runtime import Call


def words_for(call: Call, invocation: Invocation) -> list[str]:
    """The words of this `kill`: the stop signal stands for SIGTERM where that is right; in every doubt the given ones."""
    try:
        signal = _stop_signal(call, invocation)
    except Exception:  # stopping never depends on us, whatever our fault
        return call.words
    return call.words if signal is None else invocation.with_signal(signal)


def _stop_signal(call: Call, invocation: Invocation) -> int | None:
    """The signal to send in place of this call's, None where its own is to be sent."""
    if not invocation.id or invocation.has("all", "a", "regex", "r") or not is_term(tuple(invocation.words[1:])):
        return None
    found = state(call.runtime, invocation.state_call(), call.environ, call.restored_signals())
    signal = recorded(found.annotations) if found else None
    if not found or signal is None or not comes_to_await(found.pid, signal, call.runtime.rpartition("/")[2]):
        return None
    return signal
