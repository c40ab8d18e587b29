"""Between NRI's messages and the core: a Container from a request, and ENCODE, which makes an adjustment of the core's edits.

Law: what NRI cannot carry is reported, never dropped in silence. A kind of edit without a row in ENCODE fails a test.
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

# What NRI does not show, put so that a rule which would change it says so: the label and the profile that engines give.
USUAL_LABEL = "system_u:system_r:container_t:s0"
USUAL_PROFILE = "the engine's default"
BEYOND = "which NRI cannot do: use the wrapper runtime for it"
LOST_ARGUMENTS = (
    "this runtime's NRI cannot add arguments (containerd 2.2 and CRI-O 1.34 can): use the wrapper runtime, "
    "or write them into the pod's args"
)

# Of what is read by its bytes: how many are kept, and how long one may be, so that no pod can fill the memory.
MOST_KEPT, LONGEST_KEPT = 512, 1024


class Beyond(Problem):
    """What NRI cannot do for this container at all, so that it would not boot."""


def container(request: Message, *, selinux: bool) -> Container:
    """The Container that a CreateContainerRequest (or a pod and a container of Synchronize) describes.

    The request is one of PARTS. Its mounts stand as the runtime will sort them. `selinux`: whether the host labels its containers.
    A terminal is not shown; but engines give a container with one the variable TERM (containerd, WithTTY; CRI-O, setupContainer).
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
        cgroups_path=linux.cgroups_path if is_top(linux.cgroups_path) else "",  # any other is the container's own
        scope=scope(linux.cgroups_path),
        uid=given.user.uid,
        terminal=None if any(each.startswith("TERM=") for each in given.env) else False,
        # An engine gives a privileged container no label that confines it, and no cgroup namespace.
        selinux_label=USUAL_LABEL if selinux and "cgroup" in namespaces else "",
        apparmor_profile=USUAL_PROFILE,
        devices=_each(linux.devices, _device),
        unified=dict(linux.resources.unified),
    )


class Given(Mount):
    """A mount of a request: `spelled` is its destination as it was given, `order` its place among others."""

    __slots__ = ("order", "spelled")

    def __init__(self, destination: str, type: str, source: str, options: tuple[str, ...]) -> None:
        super().__init__(destination, type, source, options)
        self.spelled = destination
        # As the runtime sorts them once one is adjusted: by depth, then by name (nri, generate.go, orderedMounts).
        self.order = self.destination.count("/") - (not destination.startswith("/")), destination


_place = attrgetter("order")
_alike = lru_cache(MOST_KEPT)(Given)  # equal ones are mostly one object, so that `shape` finds them alike


def _each(parts: Iterable[bytes], read: _lru_cache_wrapper[Read]) -> list[Read]:
    return [read(data) if len(data) <= LONGEST_KEPT else read.__wrapped__(data) for data in parts]


@lru_cache(MOST_KEPT)
def _mount(data: bytes) -> Given:
    """Whose files a bind mount shows is nobody's business here, and differs from pod to pod; one that hides the cgroup is."""
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
    """The container's annotations, with those of the pod that speak to us, as a wrapper's handler would pass them. Who
    the container is, they do not say: the request does."""
    ours = {
        key: value
        for key, value in pod.annotations.items()
        if (key.startswith(a.WANTED) and key != ADJUSTED) or key in a.OLD_STOP_SIGNALS
    }
    return {**ours, **own}


class Draft:
    """A ContainerAdjustment in the making, for the container of a request; `reports` says what it cannot hold. What its machine-id
    is made from, the container's ID or its pod, is `machine_id_source`, "" for none: it comes with each container. `stop_signal` is
    what it should be stopped by. `takes_args`: whether the runtime acts on arguments."""

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
        """The mount at `index`. A Beyond where another one has its destination, of which NRI would change the first."""
        mount = self.mounts[index]
        if sum(each.spelled == mount.spelled for each in self.mounts) > 1:
            raise Beyond(f"it has several mounts at {what}, of which NRI changes only the first; leave it one")
        return mount

    def add_mount(self, destination: str, type: str, source: str, options: Iterable[str]) -> None:
        self.message.mounts.add(destination=destination, type=type, source=source, options=options)


def encode(given: Message, container: Container, adjustment: Adjustment, *, takes_args: bool) -> Draft:
    """The edits of `adjustment` as NRI takes them. A Beyond where they would not be what was meant."""
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
    """A mount is replaced by one of the same destination, spelled as it is (nri, AdjustMounts)."""
    mount = draft.only(edit.index, edit.destination)
    draft.add_mount(mount.spelled, mount.type, mount.source, edit.options)


def _remove_mount(draft: Draft, edit: e.RemoveMount) -> None:
    draft.removed.append(draft.only(edit.index, edit.destination))
    draft.mounts = (*draft.mounts[: edit.index], *draft.mounts[edit.index + 1 :])


def _mark_removed(draft: Draft) -> None:
    """A destination is removed by one with a dash before it (nri, api, MarkForRemoval), and replaced by one that is the same."""
    added = {each.destination for each in draft.message.mounts}
    for mount in draft.removed:
        if mount.spelled not in added:
            draft.add_mount(f"-{mount.spelled}", "", "", ())


def _set_env(draft: Draft, edit: e.SetEnv) -> None:
    """The first of that name gets the value, and the last one wins (nri, AdjustEnv; runtime-tools, AddProcessEnv)."""
    own = [each for each in draft.given.env if each.startswith(f"{edit.name}=")]
    if own[1:] and own[-1] != f"{edit.name}={edit.value}":
        draft.reports.append(f"{edit.name} stands there several times: to set it is more, {BEYOND}")
        return
    draft.message.env.add(key=edit.name, value=edit.value)


def _set_machine_id(draft: Draft, edit: e.SetMachineId) -> None:
    """Each container has its own, so that it is no part of a message that is kept for others."""
    draft.machine_id_source = edit.source


def _append_arguments(draft: Draft, edit: e.AppendArguments) -> None:
    """The whole list is sent: it takes the place of the container's own (nri, api, SetArgs)."""
    if not draft.takes_args:
        draft.lost_arguments.append(edit)
        return
    if not draft.message.args:
        draft.message.args.extend(draft.given.args)
    draft.message.args.extend(edit.arguments)


def _lost_arguments(draft: Draft) -> None:
    """All in one sentence: there may be one for each variable."""
    if draft.lost_arguments:
        shown = ", ".join(edit.shown for edit in draft.lost_arguments)
        draft.reports.append(f"{LOST_ARGUMENTS}: {shown}")


def _set_annotation(draft: Draft, edit: e.SetAnnotation) -> None:
    draft.message.annotations[edit.key] = edit.value


def _set_unified(draft: Draft, edit: e.SetUnified) -> None:
    draft.message.linux.resources.unified[edit.key] = edit.value


def _beyond(draft: Draft, edit: e.Edit) -> None:
    draft.reports.append(f"{edit}: {edit.reason}, {BEYOND}")


def _stop_signal(draft: Draft, container: Container) -> None:
    """The signal is recorded, also where only the pod has it so far; `stop` tells who would carry it out."""
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
