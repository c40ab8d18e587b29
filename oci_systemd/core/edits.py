"""The edits of an Adjustment: small, printable, each with its reason. `apply` applies them to a spec.

A new kind of edit is a class here, a row in `apply.APPLY` and a row in the NRI shell's table.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from oci_systemd.core.container import Mount


class Edit:
    """One change. `reason` says why; `str()` says what, on one line."""

    __slots__ = ("reason",)
    reason: str
    secret: tuple[str, ...] = ()
    """Names of the values that neither a log nor `explain` may show."""

    def __str__(self) -> str:
        raise NotImplementedError  # each kind has its own


class AddMount(Edit):
    """Insert `mount` at `index`, counted after all earlier edits."""

    __slots__ = ("index", "mount")

    def __init__(self, index: int, mount: Mount, reason: str) -> None:
        self.index = index
        self.mount = mount
        self.reason = reason

    def __str__(self) -> str:
        return f"mount {self.mount.type} at {self.mount.destination} ({','.join(self.mount.options)})"


class RemoveMount(Edit):
    """Remove the mount at `index`, whose destination is `destination`."""

    __slots__ = ("destination", "index")

    def __init__(self, index: int, destination: str, reason: str) -> None:
        self.index = index
        self.destination = destination
        self.reason = reason

    def __str__(self) -> str:
        return f"remove the volume at {self.destination}"


class SetMountOptions(Edit):
    """Give the mount at `index`, whose destination is `destination`, these options."""

    __slots__ = ("destination", "index", "options")

    def __init__(self, index: int, destination: str, options: tuple[str, ...], reason: str) -> None:
        self.index = index
        self.destination = destination
        self.options = options
        self.reason = reason

    def __str__(self) -> str:
        return f"mount at {self.destination} with options {','.join(self.options)}"


class SetEnv(Edit):
    """Set one environment variable. It replaces the first one of that name; the others are removed."""

    __slots__ = ("name", "value")

    def __init__(self, name: str, value: str, reason: str) -> None:
        self.name = name
        self.value = value
        self.reason = reason

    def __str__(self) -> str:
        return f"environment {self.name}={self.value}"


CONTAINER_UUID = "container_uuid"


class SetMachineId(SetEnv):
    """Set container_uuid to the machine-id made from `source`, a key of `machine_id.MADE`."""

    __slots__ = ("source",)

    def __init__(self, source: str, value: str, reason: str) -> None:
        super().__init__(CONTAINER_UUID, value, reason)
        self.source = source


class AppendArguments(Edit):
    """Append `arguments` to process.args. They may hold a variable's value, so only `shown` is printed."""

    __slots__ = ("arguments", "shown")
    secret = ("arguments",)

    def __init__(self, arguments: tuple[str, ...], reason: str, shown: str = "") -> None:
        self.arguments = arguments
        self.shown = shown or " ".join(arguments)
        self.reason = reason

    def __str__(self) -> str:
        return f"argument {self.shown}"


class SetAnnotation(Edit):
    __slots__ = ("key", "value")

    def __init__(self, key: str, value: str, reason: str) -> None:
        self.key = key
        self.value = value
        self.reason = reason

    def __str__(self) -> str:
        return f"annotation {self.key}={self.value}"


class SetUnified(Edit):
    """Set one file in the container's cgroup (runtime-spec, linux.resources.unified)."""

    __slots__ = ("key", "value")

    def __init__(self, key: str, value: str, reason: str) -> None:
        self.key = key
        self.value = value
        self.reason = reason

    def __str__(self) -> str:
        return f"cgroup {self.key}={self.value}"


class SetSelinuxLabel(Edit):
    __slots__ = ("label",)

    def __init__(self, label: str, reason: str) -> None:
        self.label = label
        self.reason = reason

    def __str__(self) -> str:
        return f"SELinux label {self.label}"


class SetApparmorProfile(Edit):
    """Set the AppArmor profile, or remove it if `profile` is ""."""

    __slots__ = ("profile",)

    def __init__(self, profile: str, reason: str) -> None:
        self.profile = profile
        self.reason = reason

    def __str__(self) -> str:
        return f"AppArmor profile {self.profile}" if self.profile else "remove the AppArmor profile"


class RemoveDevice(Edit):
    __slots__ = ("path",)

    def __init__(self, path: str, reason: str) -> None:
        self.path = path
        self.reason = reason

    def __str__(self) -> str:
        return f"remove device {self.path}"


KINDS: tuple[type[Edit], ...] = (
    AddMount,
    RemoveMount,
    SetMountOptions,
    SetEnv,
    SetMachineId,
    AppendArguments,
    SetAnnotation,
    SetUnified,
    SetSelinuxLabel,
    SetApparmorProfile,
    RemoveDevice,
)
