"""The shape of a container: everything that its adjustment depends on. A node's containers have few shapes.

Law: for two containers of one shape, the second one's adjustment is `for_another(adjust(first, …), second)`, with the same
settings and host. Each slot of Container counts as a whole; of those in IN_PART only the parts that rules read count.
"""

from __future__ import annotations

from oci_systemd.core import machine_id
from oci_systemd.core.adjust import Adjustment
from oci_systemd.core.annotations import ENVIRONMENT, OLD_STOP_SIGNALS, WANTED
from oci_systemd.core.case import READ
from oci_systemd.core.container import SANDBOX, Container
from oci_systemd.core.edits import SetMachineId

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Hashable

IN_PART = (
    "annotations",
    "env",
    "id",
    "mounts",
    "name",
    "namespaces",
    "pod_name",
    "pod_namespace",
    "pod_uid",
    "unified",
)
WHOLE = tuple(slot for slot in Container.__slots__ if slot not in IN_PART)
DECIDING = frozenset((*SANDBOX, *OLD_STOP_SIGNALS))  # annotations, in addition to those that start with WANTED
VARIABLES = tuple(f"{name}=" for name in READ)


def shape(container: Container) -> Hashable:
    """Return a value that is equal for containers of one shape. Mounts are compared by identity, not by value."""
    ours = [each for each in container.annotations.items() if each[0].startswith(WANTED) or each[0] in DECIDING]
    return (
        tuple([getattr(container, slot) for slot in WHOLE]),
        tuple(sorted(ours)),
        container.name if any("/" in key for key, _ in ours) else bool(container.name),
        bool(container.id),
        bool(machine_id.pod_uid(container)),
        bool(machine_id.full_name(container)),
        _variables(container, any(key.startswith(ENVIRONMENT) for key, _ in ours)),
        frozenset([type for type, path in container.namespaces.items() if not path]),
        frozenset(container.unified.items()),
        container.mounts,
    )


def _variables(container: Container, every: bool) -> tuple[str, ...]:
    """Return the variables that rules read; `every` one if there is an annotation ENVIRONMENT, with or without /NAME."""
    return container.env if every else tuple([entry for entry in container.env if entry.startswith(VARIABLES)])


def for_another(adjustment: Adjustment, container: Container) -> Adjustment:
    """Return the adjustment of `container`, which has the same shape as the container of `adjustment`."""
    edits = [
        SetMachineId(edit.source, machine_id.made(container, edit.source), edit.reason)
        if isinstance(edit, SetMachineId)
        else edit
        for edit in adjustment.edits
    ]
    other = Adjustment(adjustment.verdict, [*edits, *adjustment.kept])
    other.warnings = adjustment.warnings
    return other
