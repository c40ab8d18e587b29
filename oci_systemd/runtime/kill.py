"""`kill`: replace SIGTERM with the signal that powers off the container's systemd."""

from __future__ import annotations

import posix

from oci_systemd.core.signals import is_term, recorded
from oci_systemd.host.state import comes_to_await, state

TYPE_CHECKING = False
if TYPE_CHECKING:
    from oci_systemd.core.argv import Invocation


def stop_signal(runtime: str, invocation: Invocation) -> int | None:
    """Return the signal to send in place of the one in this call; None to send that one, also if anything is unclear."""
    try:
        return _stop_signal(runtime, invocation)
    except Exception:  # an internal error must not prevent a stop
        return None


def _stop_signal(runtime: str, invocation: Invocation) -> int | None:
    if not invocation.id or invocation.has("all", "a", "regex", "r") or not is_term(tuple(invocation.words[1:])):
        return None
    found = state(runtime, invocation.state_call(), posix.environ)
    signal = recorded(found.annotations) if found else None
    if not found or signal is None or not comes_to_await(found.pid, signal, runtime.rpartition("/")[2]):
        return None
    return signal
