"""Translate between NRI's messages and the core: a Container from a request, and with ENCODE an adjustment from the core's edits.

Law: an edit that NRI does not support is reported, never dropped silently. A kind of edit without a row in ENCODE fails a test.
"""

from __future__ import annotations

from functools import lru_cache
from operator import attrgetter
from typing import TYPE_CHECKING, Any, TypeVar, cast

from oci_systemd.core import annotations as a
from oci_systemd.core import edits as e
from oci_systemd.core.cgroups import is_top, scope
from oci_systemd.core.container import Container, Mount, is_bind
from oci_systemd.core.errors import Problem
from oci_systemd.core.paths import clean
from oci_systemd.core.rules import CGROUP_PLACE
from oci_systemd.core.signals import ADJUSTED, STOP_SIGNAL, TERM, number
from oci_systemd.nri.messages import MESSAGES

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping
    from functools import _lru_cache_wrapper
    from typing import Never

    from oci_systemd.core.adjust import Adjustment

    Message = Any  # a protobuf message of the table
    Read = TypeVar("Read")

# NRI does not show label and profile. The engines' usual ones are assumed, so that a rule that would change them reports it.
USUAL_LABEL = "system_u:system_r:container_t:s0"
USUAL_PROFILE = "the engine's default"
BEYOND = "unsupported by NRI; use the wrapper runtime"
LOST_ARGUMENTS = (
    "new arguments: unsupported by this runtime's NRI (supported since containerd 2.2 and CRI-O 1.34); "
    "use the wrapper runtime, or add them to the pod's args"
)

# The cache of parsed parts: how many, and the most bytes of one, so that no pod can fill the memory.
MOST_KEPT, LONGEST_KEPT = 512, 1024


class Beyond(Problem):
    """An edit that NRI does not support and without which the container would not boot."""


def container(request: Message, *, selinux: bool) -> Container:
    """Return the Container for a CreateContainerRequest (or for a pod and a container of Synchronize).

    The request is one of PARTS. The mounts are in the order in which the runtime will sort them. `selinux`: whether the host labels
    its containers. NRI does not show a terminal; engines set the variable TERM with one (containerd, WithTTY; CRI-O,
    setupContainer).
    """
    pod, given = request.pod, request.container
    linux = given.linux
    namespaces = dict(_each(linux.namespaces, _namespace))
    return Container(
        id=given.id,
        name=given.name,
        pod_uid=pod.uid,
        pod_name=pod.name,
        pod_namespace=pod.namespace,
        args=given.args,
        env=given.env,
        mounts=sorted(_each(given.mounts, _mount), key=_place),
        annotations=_annotations(pod, given.annotations),
        namespaces=namespaces,
        cgroups_path=linux.cgroups_path if is_top(linux.cgroups_path) else "",  # any other path is the container's own
        scope=scope(linux.cgroups_path),
        uid=given.user.uid,
        terminal=None if any(each.startswith("TERM=") for each in given.env) else False,
        # A privileged container has no confining label and no cgroup namespace.
        selinux_label=USUAL_LABEL if selinux and "cgroup" in namespaces else "",
        apparmor_profile=USUAL_PROFILE,
        devices=_each(linux.devices, _device),
        unified=dict(linux.resources.unified),
    )


class Given(Mount):
    """A mount in a request: `spelled` is its destination as given, `order` its position when sorted."""

    __slots__ = ("order", "spelled")

    def __init__(self, destination: str, type: str, source: str, options: tuple[str, ...]) -> None:
        super().__init__(destination, type, source, options)
        self.spelled = destination
        # The runtime sorts mounts if one is adjusted: by depth, then by name (nri, generate.go, orderedMounts).
        self.order = self.destination.count("/") - (not destination.startswith("/")), destination


_place = attrgetter("order")
_alike = lru_cache(MOST_KEPT)(Given)  # equal mounts are mostly one object, which `shape` compares by identity


def _each(parts: Iterable[bytes], read: _lru_cache_wrapper[Read]) -> list[Read]:
    return [read(data) if len(data) <= LONGEST_KEPT else read.__wrapped__(data) for data in parts]


@lru_cache(MOST_KEPT)
def _mount(data: bytes) -> Given:
    """The source of a bind mount is left out, since it differs from pod to pod; it only matters if the mount hides the cgroup."""
    each = MESSAGES["Mount"].FromString(data)
    options = tuple(each.options)
    made = _alike if len(data) <= LONGEST_KEPT else Given
    hidden = is_bind(each.type, options) and clean(each.destination) != CGROUP_PLACE
    return made(each.destination, each.type, "" if hidden else each.source, options)


@lru_cache(MOST_KEPT)
def _namespace(data: bytes) -> tuple[str, str]:
    each = MESSAGES["LinuxNamespace"].FromString(data)
    return each.type, each.path


@lru_cache(MOST_KEPT)
def _device(data: bytes) -> str:
    path: str = MESSAGES["LinuxDevice"].FromString(data).path
    return path


def _annotations(pod: Message, own: Mapping[str, str]) -> dict[str, str]:
    """Return the container's annotations and our keys on the pod, as the wrapper's handler would pass them. The container's
    identity is in the request, not in them."""
    ours = {
        key: value
        for key, value in pod.annotations.items()
        if (key.startswith(a.WANTED) and key != ADJUSTED) or key in a.OLD_STOP_SIGNALS
    }
    return {**ours, **own}


class Draft:
    """A ContainerAdjustment under construction, for the container of a request; `reports` lists what NRI does not support.
    `machine_id_source` is the source of the machine-id, "" for none; the machine-id itself is added for each container.
    `stop_signal` is the signal that should stop it. `takes_args`: whether the runtime supports arguments."""

    def __init__(self, given: Message, container: Container, *, takes_args: bool) -> None:
        self.given = given
        self.takes_args = takes_args
        self.mounts = cast("tuple[Given, ...]", container.mounts)
        self.message = MESSAGES["ContainerAdjustment"]()
        self.machine_id_source = ""
        self.stop_signal = TERM
        self.reports: list[str] = []
        self.removed: list[Given] = []
        self.lost_arguments: list[e.AppendArguments] = []

    def only(self, index: int, what: str) -> Given:
        """Return the mount at `index`. Raise Beyond if another one has its destination, since NRI would change the first."""
        mount = self.mounts[index]
        if sum(each.spelled == mount.spelled for each in self.mounts) > 1:
            raise Beyond(f"the container has several mounts at {what}, and NRI changes only the first; keep one")
        return mount

    def add_mount(self, destination: str, type: str, source: str, options: Iterable[str]) -> None:
        self.message.mounts.add(destination=destination, type=type, source=source, options=options)


def encode(given: Message, container: Container, adjustment: Adjustment, *, takes_args: bool) -> Draft:
    """Return the edits of `adjustment` for NRI. Raise Beyond if their result would be wrong."""
    draft = Draft(given, container, takes_args=takes_args)
    for edit in adjustment.edits:
        ENCODE[type(edit)](draft, edit)  # type: ignore[arg-type]  # the key is the parameter's own class
    _mark_removed(draft)
    _lost_arguments(draft)
    if adjustment.verdict.wanted:
        _stop_signal(draft, container)
    return draft


def _add_mount(draft: Draft, edit: e.AddMount) -> None:
    mount = edit.mount
    draft.add_mount(mount.destination, mount.type, mount.source, mount.options)


def _set_mount_options(draft: Draft, edit: e.SetMountOptions) -> None:
    """A mount replaces the one with the same spelling of the destination (nri, AdjustMounts)."""
    mount = draft.only(edit.index, edit.destination)
    draft.add_mount(mount.spelled, mount.type, mount.source, edit.options)


def _remove_mount(draft: Draft, edit: e.RemoveMount) -> None:
    draft.removed.append(draft.only(edit.index, edit.destination))
    draft.mounts = (*draft.mounts[: edit.index], *draft.mounts[edit.index + 1 :])


def _mark_removed(draft: Draft) -> None:
    """A destination with a leading dash removes a mount (nri, api, MarkForRemoval); the same destination replaces it."""
    added = {each.destination for each in draft.message.mounts}
    for mount in draft.removed:
        if mount.spelled not in added:
            draft.add_mount(f"-{mount.spelled}", "", "", ())


def _set_env(draft: Draft, edit: e.SetEnv) -> None:
    """NRI changes the first variable of that name, but the last one counts (nri, AdjustEnv; runtime-tools, AddProcessEnv)."""
    own = [each for each in draft.given.env if each.startswith(f"{edit.name}=")]
    if own[1:] and own[-1] != f"{edit.name}={edit.value}":
        draft.reports.append(f"{edit.name}: set several times, which is {BEYOND}")
        return
    draft.message.env.add(key=edit.name, value=edit.value)


def _set_machine_id(draft: Draft, edit: e.SetMachineId) -> None:
    """Each container has its own machine-id, so it is not part of the cached message."""
    draft.machine_id_source = edit.source


def _append_arguments(draft: Draft, edit: e.AppendArguments) -> None:
    """The whole list is sent, since it replaces the container's list (nri, api, SetArgs)."""
    if not draft.takes_args:
        draft.lost_arguments.append(edit)
        return
    if not draft.message.args:
        draft.message.args.extend(draft.given.args)
    draft.message.args.extend(edit.arguments)


def _lost_arguments(draft: Draft) -> None:
    """Report all of them in one sentence: there may be one for each variable."""
    if draft.lost_arguments:
        shown = ", ".join(edit.shown for edit in draft.lost_arguments)
        draft.reports.append(f"{LOST_ARGUMENTS}: {shown}")


def _set_annotation(draft: Draft, edit: e.SetAnnotation) -> None:
    draft.message.annotations[edit.key] = edit.value


def _set_unified(draft: Draft, edit: e.SetUnified) -> None:
    draft.message.linux.resources.unified[edit.key] = edit.value


def _beyond(draft: Draft, edit: e.Edit) -> None:
    draft.reports.append(f"{edit}: {BEYOND} ({edit.reason})")


def _stop_signal(draft: Draft, container: Container) -> None:
    """Record the signal, also if so far only the pod has it; `stop` says who would send it."""
    signal = draft.message.annotations.get(STOP_SIGNAL) or container.annotations.get(STOP_SIGNAL, "none")
    if STOP_SIGNAL not in draft.given.annotations:
        draft.message.annotations[STOP_SIGNAL] = signal
    draft.stop_signal = number(signal) or TERM


ENCODE: dict[type[e.Edit], Callable[[Draft, Never], None]] = {
    e.AddMount: _add_mount,
    e.RemoveMount: _remove_mount,
    e.SetMountOptions: _set_mount_options,
    e.SetEnv: _set_env,
    e.SetMachineId: _set_machine_id,
    e.AppendArguments: _append_arguments,
    e.SetAnnotation: _set_annotation,
    e.SetUnified: _set_unified,
    e.SetSelinuxLabel: _beyond,
    e.SetApparmorProfile: _beyond,
    e.RemoveDevice: _beyond,
}
