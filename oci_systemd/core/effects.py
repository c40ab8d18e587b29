"""List which of our changes are in effect in a container, from its config.json: EFFECTS has one function for each.

Law: only values in the spec are listed, and only those that oci-systemd can set. A spec has no history: a writable cgroup mount,
`container`, `container_uuid`, a limit on cgroups, KillSignal, After and an SELinux type are listed whether oci-systemd set them
or not. Two are recognized: a tmpfs, since no engine writes these options in this order, and the source of container_uuid, since it
can be computed again (podman computes its own the same way). Removed consoles leave no trace and are not listed, nor is a removed
AppArmor profile without its annotation.
"""

from __future__ import annotations

from oci_systemd.core import annotations as a
from oci_systemd.core import machine_id
from oci_systemd.core.annotations import Annotations
from oci_systemd.core.arguments import FORWARD
from oci_systemd.core.case import Case
from oci_systemd.core.command_line import setenvs
from oci_systemd.core.host import Host
from oci_systemd.core.rules import (
    AFTER,
    CGROUP_PLACE,
    CREDENTIALS,
    DESCENDANTS,
    KILL_SIGNAL,
    MACHINE_ID_SOURCES,
    OOM_GROUP,
    TMPFS_OPTIONS,
    is_cgroup,
    is_read_only,
)

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from oci_systemd.core.container import Container, Mount
    from oci_systemd.core.settings import Settings

MOST = a.MAX_PATHS + 1  # our tmpfs: those in an annotation, and the twin of /run/lock
INIT_TYPE = "container_init_t"
TMPFS_MODES = (("mode=755",), ("mode=1777",))
SOURCES = ("pod", "name", "container")  # if two give the same machine-id, the first is listed


class Effect:
    """One change in effect: `what` it is, its `value`, and a `note`, which may be empty."""

    __slots__ = ("note", "value", "what")

    def __init__(self, what: str, value: str, note: str = "") -> None:
        self.what = what
        self.value = value
        self.note = note


def effects(container: Container, settings: Settings) -> list[Effect]:
    """Return everything in effect in `container`, in the order of EFFECTS."""
    case = Case(container, Annotations(container), settings, Host(), wanted=True)
    return [effect for found in EFFECTS for effect in found(case)]


def _cgroup(case: Case) -> Iterator[Effect]:
    index = case.mounted_at(CGROUP_PLACE)
    if index is not None and is_cgroup(case.mounts[index]) and not is_read_only(case.mounts[index]):
        own = case.container.has_private("cgroup")
        yield Effect("cgroup", "rw", "" if own else "the host's tree: no private cgroup namespace")


def _limit(case: Case) -> Iterator[Effect]:
    if DESCENDANTS in case.container.unified:
        yield Effect(DESCENDANTS, case.container.unified[DESCENDANTS])


def _oom_group(case: Case) -> Iterator[Effect]:
    """Listed only if it is 0: the engine sets 1, and an absent value is the kernel's default."""
    if case.container.unified.get(OOM_GROUP) == "0":
        yield Effect(OOM_GROUP, "0")


def _tmpfs(case: Case) -> Iterator[Effect]:
    ours = [(index, mount) for index, mount in enumerate(case.mounts) if _is_ours(mount)]
    for index, mount in ours[:MOST]:
        if case.mounted_at(mount.destination) == index:
            yield Effect("tmpfs", mount.destination, ",".join(mount.options[len(TMPFS_OPTIONS) + 1 :]))


def _is_ours(mount: Mount) -> bool:
    """Return whether a mount has the type, source and first options of `rules.tmpfs`, in order."""
    own = len(TMPFS_OPTIONS)
    return (
        mount.type == mount.source == "tmpfs"
        and mount.options[:own] == TMPFS_OPTIONS
        and mount.options[own : own + 1] in TMPFS_MODES
    )


def _environment(case: Case) -> Iterator[Effect]:
    for value in case.env("container")[-1:]:
        yield Effect("container", value)


def _machine(case: Case) -> Iterator[Effect]:
    for value in case.env("container_uuid")[-1:]:
        yield Effect("container_uuid", value, _source(case, value))


def _source(case: Case, value: str) -> str:
    """Return what a container_uuid was made from: the same computation gives the same value."""
    container = case.container
    if not machine_id.parse(value):
        return "not an id128: systemd ignores it"
    sources = (source for source in SOURCES if value == machine_id.made(container, source))
    return next((f"from {MACHINE_ID_SOURCES[source]}" for source in sources), "the container's own")


def _credentials(case: Case) -> Iterator[Effect]:
    for value in case.env("CREDENTIALS_DIRECTORY")[-1:]:
        if value == CREDENTIALS:
            yield Effect("credentials", value)


def _arguments(case: Case) -> Iterator[Effect]:
    """Only the names of variables are listed; their values may be secret."""
    if FORWARD in {each.partition("=")[0] for each in case.container.args}:
        yield Effect("console", "journal", "" if case.container.terminal else "no effect without a terminal")
    given = {name: value for name, _, value in (each.partition("=") for each in case.container.env)}
    there = setenvs(case.container.args)
    names = [name for name, value in there.items() if given.get(name) == value]
    if names:
        yield Effect("environment", " ".join(names[:MOST]))


def _selinux(case: Case) -> Iterator[Effect]:
    type = ":".join(case.container.selinux_label.split(":", 3)[2:3])
    if type and type in (INIT_TYPE, case.annotations.get(a.SELINUX)):
        yield Effect("selinux", type)


def _apparmor(case: Case) -> Iterator[Effect]:
    named = case.annotations.get(a.APPARMOR)
    if named and named == (case.container.apparmor_profile or "unconfined"):
        yield Effect("apparmor", named)


def _host_stop(case: Case) -> Iterator[Effect]:
    for key in (KILL_SIGNAL, AFTER):
        if key in case.container.annotations:
            yield Effect(key.rpartition(".")[2], case.container.annotations[key])


EFFECTS: tuple[Callable[[Case], Iterator[Effect]], ...] = (
    _cgroup,
    _limit,
    _oom_group,
    _tmpfs,
    _environment,
    _machine,
    _credentials,
    _arguments,
    _selinux,
    _apparmor,
    _host_stop,
)
