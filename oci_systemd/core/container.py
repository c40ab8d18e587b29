"""The facts about a container that the rules read, taken from an OCI spec. Nothing else of the spec is looked at.

Law: a wrong type where we read is a SpecError that names the place; what we do not read may be anything.
"""

from __future__ import annotations

from oci_systemd.core.errors import SpecError
from oci_systemd.core.paths import clean

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from oci_systemd.core.json_text import Json

# Who writes these: containerd internal/cri/annotations, CRI-O pkg/annotations, cri-dockerd.
SANDBOX = {
    "io.kubernetes.cri.container-type": "sandbox",
    "io.kubernetes.cri-o.ContainerType": "sandbox",
    "io.kubernetes.docker.type": "podsandbox",
}
CONTAINER_NAME = ("io.kubernetes.cri.container-name", "io.kubernetes.container.name")
POD_UID = ("io.kubernetes.cri.sandbox-uid", "io.kubernetes.pod.uid")
POD_NAME = ("io.kubernetes.cri.sandbox-name", "io.kubernetes.pod.name")
POD_NAMESPACE = ("io.kubernetes.cri.sandbox-namespace", "io.kubernetes.pod.namespace")


class Mount:
    """One mount of the spec; `destination` is cleaned, `options` are as given."""

    __slots__ = ("destination", "options", "source", "type")

    def __init__(self, destination: str, type: str = "", source: str = "", options: Sequence[str] = ()) -> None:
        self.destination = clean(destination)
        self.type = type
        self.source = source
        self.options = tuple(options)

    @property
    def is_bind(self) -> bool:
        return is_bind(self.type, self.options)


def is_bind(type: str, options: Sequence[str]) -> bool:
    """runc takes any type for a bind mount where the options say so (specconv, createLibcontainerMount)."""
    return type in ("bind", "rbind") or "bind" in options or "rbind" in options


class Container:
    """What the core knows of one container. Everything is a plain value; nothing is changed after construction.

    `root_path` is the root file system as the spec names it: absolute, or relative to the bundle; "" where it names none.
    `own_cgroup` is false where the runtime was told to make none (podman --cgroups=disabled): a private cgroup namespace then
    begins at the cgroup of whoever starts it, which may be the host's root.
    """

    __slots__ = (
        "annotations",
        "apparmor_profile",
        "args",
        "devices",
        "env",
        "id",
        "mounts",
        "name",
        "namespaces",
        "own_cgroup",
        "pod_uid",
        "readonly_root",
        "root_path",
        "selinux_label",
        "uid",
        "unified",
    )

    def __init__(
        self,
        *,
        id: str = "",
        name: str = "",
        pod_uid: str = "",
        args: Sequence[str] = (),
        env: Sequence[str] = (),
        mounts: Sequence[Mount] = (),
        annotations: Mapping[str, str] | None = None,
        namespaces: Mapping[str, str] | None = None,
        own_cgroup: bool = True,
        uid: int = 0,
        root_path: str = "",
        readonly_root: bool = False,
        selinux_label: str = "",
        apparmor_profile: str = "",
        devices: Sequence[str] = (),
        unified: Mapping[str, str] | None = None,
    ) -> None:
        self.id = id
        self.annotations = annotations or {}
        self.name = name or self.first(CONTAINER_NAME)
        self.pod_uid = pod_uid
        self.args = tuple(args)
        self.env = tuple(env)
        self.mounts = tuple(mounts)
        self.namespaces = namespaces or {}
        self.own_cgroup = own_cgroup
        self.uid = uid
        self.root_path = root_path
        self.readonly_root = readonly_root
        self.selinux_label = selinux_label
        self.apparmor_profile = apparmor_profile
        self.devices = tuple(devices)
        self.unified = unified or {}

    def first(self, keys: Sequence[str]) -> str:
        """The first of these annotations that is there and not empty, else ""."""
        return next((self.annotations[key] for key in keys if self.annotations.get(key)), "")

    @property
    def is_sandbox(self) -> bool:
        return any(self.annotations.get(key) == value for key, value in SANDBOX.items())

    @property
    def pod(self) -> str:
        """`namespace/name` of the pod, as far as the annotations tell; "" outside Kubernetes."""
        return "/".join(part for part in (self.first(POD_NAMESPACE), self.first(POD_NAME)) if part)

    def has_private(self, namespace: str) -> bool:
        """Whether the container gets a namespace of its own: it is listed, without a path (runtime-spec, config-linux)."""
        return self.namespaces.get(namespace) == ""


def from_spec(spec: Json, id: str = "", *, own_cgroup: bool = True) -> Container:
    """The Container that an OCI spec (the value of a config.json) describes; `id` is the runtime's argument, "" if unknown."""
    root = _Reader(spec, "")
    process, linux = root.object("process"), root.object("linux")
    namespaces = linux.objects("namespaces")
    return Container(
        id=id,
        args=process.strings("args"),
        env=process.strings("env"),
        mounts=[_mount(entry) for entry in root.objects("mounts")],
        annotations=root.string_map("annotations"),
        namespaces={entry.string("type"): entry.string("path") for entry in namespaces},
        own_cgroup=own_cgroup,
        uid=process.object("user").integer("uid"),
        root_path=root.object("root").string("path"),
        readonly_root=root.object("root").boolean("readonly"),
        selinux_label=process.string("selinuxLabel"),
        apparmor_profile=process.string("apparmorProfile"),
        devices=[entry.string("path") for entry in linux.objects("devices")],
        unified=linux.object("resources").string_map("unified"),
    )


def _mount(entry: _Reader) -> Mount:
    return Mount(entry.string("destination"), entry.string("type"), entry.string("source"), entry.strings("options"))


class _Reader:
    """One object of the spec, read by key and type. `null` is what is absent, or "" (Go's encoding/json)."""

    def __init__(self, value: Json, place: str) -> None:
        if not isinstance(value, dict):
            raise SpecError(f"{place or 'the spec'} is {_type(value)} where an object belongs")
        self.value = value
        self.place = place

    def _wrong(self, key: str, value: Json, expected: str) -> SpecError:
        return SpecError(f"{self._at(key)} is {_type(value)} where {expected} belongs")

    def _at(self, key: str) -> str:
        return f"{self.place}.{key}" if self.place else key

    def object(self, key: str) -> _Reader:
        value = self.value.get(key)
        return _Reader({} if value is None else value, self._at(key))

    def objects(self, key: str) -> list[_Reader]:
        return [_Reader(value, f"{self._at(key)}[{index}]") for index, value in enumerate(self._list(key))]

    def _list(self, key: str) -> list[Json]:
        value = self.value.get(key)
        if value is not None and not isinstance(value, list):
            raise self._wrong(key, value, "an array")
        return value or []

    def string(self, key: str) -> str:
        value = self.value.get(key)
        if value is not None and not isinstance(value, str):
            raise self._wrong(key, value, "a string")
        return value or ""

    def strings(self, key: str) -> list[str]:
        values = self._list(key)
        strings = [value for value in values if isinstance(value, str)]
        if len(strings) != len(values):  # only then is each one named
            return [self._text(value, f"{key}[{index}]") for index, value in enumerate(values)]
        return strings

    def _text(self, value: Json, key: str) -> str:
        if value is None:
            return ""
        if not isinstance(value, str):
            raise self._wrong(key, value, "a string")
        return value

    def string_map(self, key: str) -> dict[str, str]:
        values = self.object(key).value
        strings = {name: value for name, value in values.items() if isinstance(value, str)}
        if len(strings) != len(values):
            return {name: self._text(value, f"{key}[{name!r}]") for name, value in values.items()}
        return strings

    def integer(self, key: str) -> int:
        value = self.value.get(key)
        if value is not None and (not isinstance(value, int) or isinstance(value, bool)):
            raise self._wrong(key, value, "an integer")
        return value or 0

    def boolean(self, key: str) -> bool:
        value = self.value.get(key)
        if value is not None and not isinstance(value, bool):
            raise self._wrong(key, value, "a boolean")
        return bool(value)


def _type(value: Json) -> str:
    names = {dict: "an object", list: "an array", str: "a string", bool: "a boolean", type(None): "null"}
    return names.get(type(value), "a number")
