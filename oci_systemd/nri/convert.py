"""Between NRI's messages and the core: a Container from a request, and ENCODE, which makes an adjustment of the core's edits.

Law: what NRI cannot carry is reported, never dropped in silence. A kind of edit without a row in ENCODE fails a test.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from typing import TYPE_CHECKING, Any, overload

from oci_systemd.core import annotations as a
from oci_systemd.core import edits as e
from oci_systemd.core.container import POD_NAME, POD_NAMESPACE, Container, Mount
from oci_systemd.core.errors import Problem
from oci_systemd.core.paths import clean
from oci_systemd.core.signals import ADJUSTED, STOP_SIGNAL, number
from oci_systemd.nri.messages import MESSAGES

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping
    from typing import Never

    from oci_systemd.core.adjust import Adjustment

    Message = Any  # a protobuf message of the table

# What NRI does not show, put so that a rule which would change it says so: the label and the profile that engines give.
USUAL_LABEL = "system_u:system_r:container_t:s0"
USUAL_PROFILE = "the engine's default"
BEYOND = "which NRI cannot do: use the wrapper runtime for it"
STOP = "SIGTERM stays, since NRI cannot change the stop signal: give the image STOPSIGNAL {0}, or the pod lifecycle.stopSignal {0}"


class Beyond(Problem):
    """What NRI cannot do for this container at all, so that it would not boot."""


def container(request: Message, *, selinux: bool) -> Container:
    """The Container that a CreateContainerRequest (or a pod and a container of Synchronize) describes.

    Its mounts stand as the runtime will sort them. `selinux`: whether the host labels its containers.
    """
    pod, given = request.pod, request.container
    linux = given.linux
    namespaces = {each.type: each.path for each in linux.namespaces}
    return Container(
        id=given.id,
        name=given.name,
        pod_uid=pod.uid,
        args=given.args,
        env=given.env,
        mounts=Mounts(given.mounts),
        annotations=_annotations(pod, given.annotations),
        namespaces=namespaces,
        uid=given.user.uid,
        # An engine gives a privileged container no label that confines it, and no cgroup namespace.
        selinux_label=USUAL_LABEL if selinux and "cgroup" in namespaces else "",
        apparmor_profile=USUAL_PROFILE,
        devices=[each.path for each in linux.devices],
        unified=linux.resources.unified,
    )


class Mounts(Sequence[Mount]):
    """The mounts of a request as the runtime will sort them; sorted and read once somebody looks, which few containers need."""

    def __init__(self, given: Iterable[Message]) -> None:
        self._given = given
        self._values: list[Mount] | None = None

    def _read(self) -> list[Mount]:
        if self._values is None:
            self._values = [
                Mount(each.destination, each.type, each.source, each.options) for each in ordered(self._given)
            ]
        return self._values

    def __len__(self) -> int:
        return len(self._read())

    @overload
    def __getitem__(self, index: int) -> Mount: ...
    @overload
    def __getitem__(self, index: slice) -> list[Mount]: ...
    def __getitem__(self, index: int | slice) -> Mount | list[Mount]:
        return self._read()[index]

    def __iter__(self) -> Iterator[Mount]:
        return iter(self._read())


def ordered(mounts: Iterable[Message]) -> list[Message]:
    """Mounts as the runtime sorts them once one is adjusted: by depth, then by name (nri, generate.go, orderedMounts)."""
    return sorted(mounts, key=_order)


def _order(mount: Message) -> tuple[int, str]:
    destination: str = mount.destination
    return clean(destination).count("/") - (not destination.startswith("/")), destination


def _annotations(pod: Message, own: Mapping[str, str]) -> dict[str, str]:
    """The container's annotations, with those of the pod that speak to us, as a wrapper's handler would pass them."""
    ours = {
        key: value
        for key, value in pod.annotations.items()
        if (key.startswith(a.WANTED) and key != ADJUSTED) or key in a.OLD_STOP_SIGNALS
    }
    return {POD_NAME[0]: pod.name, POD_NAMESPACE[0]: pod.namespace, **ours, **own}


class Draft:
    """A ContainerAdjustment in the making, for the container of a request; `reports` says what it cannot hold."""

    def __init__(self, given: Message) -> None:
        self.given = given
        self.message = MESSAGES["ContainerAdjustment"]()
        self.reports: list[str] = []

    @cached_property
    def mounts(self) -> list[Message]:
        """The container's, as its edits count them."""
        return ordered(self.given.mounts)

    def add_mount(self, destination: str, type: str, source: str, options: Iterable[str]) -> None:
        self.message.mounts.add(destination=destination, type=type, source=source, options=options)


def encode(given: Message, container: Container, adjustment: Adjustment) -> Draft:
    """The edits of `adjustment` as NRI takes them. A Beyond where they would not be what was meant."""
    draft = Draft(given)
    for edit in adjustment.edits:
        ENCODE[type(edit)](draft, edit)  # type: ignore[arg-type]  # the key is the parameter's own class
    if adjustment.verdict.wanted:
        _stop_signal(draft, container)
    return draft


def _add_mount(draft: Draft, edit: e.AddMount) -> None:
    mount = edit.mount
    draft.add_mount(mount.destination, mount.type, mount.source, mount.options)


def _set_mount_options(draft: Draft, edit: e.SetMountOptions) -> None:
    """A mount is replaced by one of the same destination, spelled as it is (nri, AdjustMounts)."""
    given = draft.mounts[edit.index]
    if sum(each.destination == given.destination for each in draft.mounts) > 1:
        raise Beyond(f"it has several mounts at {edit.destination}, of which NRI changes only the first; leave it one")
    draft.add_mount(given.destination, given.type, given.source, edit.options)


def _set_env(draft: Draft, edit: e.SetEnv) -> None:
    """The first of that name gets the value, and the last one wins (nri, AdjustEnv; runtime-tools, AddProcessEnv)."""
    own = [each for each in draft.given.env if each.startswith(f"{edit.name}=")]
    if own[1:] and own[-1] != f"{edit.name}={edit.value}":
        draft.reports.append(f"{edit.name} stands there several times: to set it is more, {BEYOND}")
        return
    draft.message.env.add(key=edit.name, value=edit.value)


def _set_annotation(draft: Draft, edit: e.SetAnnotation) -> None:
    draft.message.annotations[edit.key] = edit.value


def _set_unified(draft: Draft, edit: e.SetUnified) -> None:
    draft.message.linux.resources.unified[edit.key] = edit.value


def _beyond(draft: Draft, edit: e.Edit) -> None:
    draft.reports.append(f"{edit}: {edit.reason}, {BEYOND}")


def _stop_signal(draft: Draft, container: Container) -> None:
    """The signal is recorded, also where only the pod has it so far; who would carry it out is told."""
    signal = draft.message.annotations.get(STOP_SIGNAL) or container.annotations.get(STOP_SIGNAL, "none")
    if STOP_SIGNAL not in draft.given.annotations:
        draft.message.annotations[STOP_SIGNAL] = signal
    if number(signal) is not None:
        draft.reports.append(STOP.format(signal))


ENCODE: dict[type[e.Edit], Callable[[Draft, Never], None]] = {
    e.AddMount: _add_mount,
    e.SetMountOptions: _set_mount_options,
    e.SetEnv: _set_env,
    e.SetAnnotation: _set_annotation,
    e.SetUnified: _set_unified,
    e.SetSelinuxLabel: _beyond,
    e.SetApparmorProfile: _beyond,
    e.RemoveDevice: _beyond,
}
