"""`create` and `run`: adjust the bundle's config.json if the container is wanted, and log what was done."""

from __future__ import annotations

import posix

from oci_systemd.core.errors import Problem
from oci_systemd.host import booting, bundle, settings_file
from oci_systemd.host.decide import carry_out, container_of, fault, since
from oci_systemd.host.log import Entry, write

TYPE_CHECKING = False
if TYPE_CHECKING:
    from oci_systemd.core.argv import Invocation
    from oci_systemd.core.settings import Settings


def prepare_bundle(invocation: Invocation, started: float, damaged: str) -> None:
    """Adjust the bundle if it is wanted. Raise a Problem if the container must not start; after an internal error it starts
    unmodified."""
    settings = settings_file.load_or_default(settings_file.chosen(posix.environ))
    if damaged:
        write(
            Entry("warning", "damaged", None, f"{damaged}: damaged or of another Python; install oci-systemd again"),
            settings,
        )
    try:
        _adjust(invocation, settings, started)
    except Problem:
        raise
    except Exception as error:
        write(fault(error), settings)


def _adjust(invocation: Invocation, settings: Settings, started: float) -> None:
    path = invocation.config
    bundle.sweep(path)
    try:
        config = bundle.load(path)
        seen = {"own_cgroup": invocation.own_cgroup, "systemd_cgroup": invocation.systemd_cgroup}
        container = container_of(config, invocation.id, **seen)
    except Problem as problem:  # the real runtime reports it
        write(Entry("warning", "left alone", None, str(problem), milliseconds=since(started)), settings)
        return
    if carry_out(
        config, container, invocation.bundle, settings, started, lambda text: bundle.save(config, text, durable=False)
    ):
        booting.note(container.id, container.cgroups_path, systemd=invocation.systemd_cgroup)
