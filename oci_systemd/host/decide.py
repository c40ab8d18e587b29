"""Turn a spec on this machine's disk into its Adjustment. The wrapper, the hook and the command line share this path."""

from __future__ import annotations

import time

from oci_systemd.core.adjust import adjust, questions
from oci_systemd.core.apply import apply
from oci_systemd.core.container import from_spec
from oci_systemd.core.errors import Problem, SpecError
from oci_systemd.core.host import Host
from oci_systemd.host.bundle import unusable
from oci_systemd.host.log import Entry, of_adjustment, write
from oci_systemd.host.machine import seen, this_host
from oci_systemd.host.rootfs import survey

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from oci_systemd.core.adjust import Adjustment, Questions
    from oci_systemd.core.container import Container
    from oci_systemd.core.host import Root
    from oci_systemd.core.settings import Settings
    from oci_systemd.host.bundle import Config


def container_of(config: Config, id: str, *, own_cgroup: bool = True, systemd_cgroup: bool | None = None) -> Container:
    """Return the container in a config.json. Raise a SpecError that names the file if a value has a wrong type."""
    try:
        return from_spec(config.spec, id, own_cgroup=own_cgroup, systemd_cgroup=systemd_cgroup)
    except SpecError as error:
        raise unusable(config.path, error) from None


def decide(
    container: Container,
    bundle: str,
    settings: Settings,
    host: Callable[[Root | None, Questions, str], Host] | None = None,
) -> Adjustment:
    """Return the Adjustment of `container`, whose bundle is the directory `bundle`. `host` makes the Host from the root file system
    and the other questions; by default it is this machine.

    The machine is not read for a container whose spec already says that it is left alone.
    """
    asked = questions(container, settings)
    if not asked:
        return adjust(container, settings, Host())
    path = container.root_path
    root = survey(path if path.startswith("/") else f"{bundle}/{path}", asked.paths, asked.files) if path else None
    return adjust(container, settings, host(root, asked, bundle) if host else seen(this_host(), root, asked, bundle))


def fault(error: Exception) -> Entry:
    """Return the log entry for an internal error. The container starts unmodified."""
    return Entry("error", "left alone", None, f"internal error in oci-systemd: {error!r}")


def carry_out(
    config: Config, container: Container, bundle: str, settings: Settings, started: float, put: Callable[[str], None]
) -> bool:
    """Decide, pass the new text, if there is one, to `put`, and log the result. `started` is in seconds (monotonic).

    Return whether systemd will be its first process. Raise a Problem, logged as a refusal, if the container must not start.
    """
    try:
        adjustment = decide(container, bundle, settings)
        if adjustment.edits and isinstance(config.spec, dict):
            put(config.patched(apply(config.spec, adjustment.edits)))
    except Problem as problem:
        write(Entry("error", "refused", container, str(problem), milliseconds=since(started)), settings)
        raise
    write(of_adjustment(container, adjustment, since(started)), settings)
    return adjustment.verdict.wanted


def since(started: float) -> float:
    """Return the milliseconds since `started`."""
    return (time.monotonic() - started) * 1000
