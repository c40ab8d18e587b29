"""The facts about a container that the rules read, taken from an OCI spec. The rest of the spec is not read.

Law: a wrong type in a value that is read is a SpecError that names its place; all other values may have any type.
"""

from __future__ import annotations

from oci_systemd.core.cgroups import scope
from oci_systemd.core.errors import SpecError
from oci_systemd.core.paths import clean

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from oci_systemd.core.json_text import Json

# Sources: containerd internal/cri/annotations, CRI-O pkg/annotations, cri-dockerd.
SANDBOX = {
    "io.kubernetes.cri.container-type": "sandbox",
    "io.kubernetes.cri-o.ContainerType": "sandbox",
    "io.kubernetes.docker.type": "podsandbox",
}
CONTAINERD, CRIO = "io.kubernetes.cri.container-type", "io.kubernetes.cri-o.ContainerType"  # on every container of each
# Annotations with the container's name and its pod's UID, name and namespace: containerd's, and all other engines'.
OF_CONTAINERD = (
    "io.kubernetes.cri.container-name",
    "io.kubernetes.cri.sandbox-uid",
    "io.kubernetes.cri.sandbox-name",
    "io.kubernetes.cri.sandbox-namespace",
)
OF_OTHERS = (
    "io.kubernetes.container.name",
    "io.kubernetes.pod.uid",
    "io.kubernetes.pod.name",
    "io.kubernetes.pod.namespace",
)
CRIO_CGROUPS = (":crio:", "/crio-")  # in every cgroup path that CRI-O writes, with either driver


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
    """Return whether runc makes a bind mount: the options alone are enough (specconv, createLibcontainerMount)."""
    return type in ("bind", "rbind") or "bind" in options or "rbind" in options


class Container:
    """The facts about one container, as plain values that do not change after construction.

    `root_path` is the root file system in the spec: absolute, or relative to the bundle; "" if unset.
    `capabilities` is the bounding set, the most that a service of root can have; None if unknown.
    `cwd` is "" if unknown. `cgroups_path` is linux.cgroupsPath, unchanged. `own_cgroup` is false if the runtime creates no cgroup
    (podman --cgroups=disabled): a private cgroup namespace then starts at the cgroup of the calling process, possibly the host's
    root. `scope` tells whether the runtime creates a systemd scope on the host, None if unknown. `terminal` is None if unknown.
    """

    __slots__ = (
        "annotations",
        "apparmor_profile",
        "args",
        "capabilities",
        "cgroups_path",
        "cwd",
        "devices",
        "env",
        "id",
        "mounts",
        "name",
        "namespaces",
        "own_cgroup",
        "pod_name",
        "pod_namespace",
        "pod_uid",
        "readonly_root",
        "root_path",
        "scope",
        "selinux_label",
        "terminal",
        "uid",
        "unified",
    )

    def __init__(
        self,
        *,
        id: str = "",
        name: str = "",
        pod_uid: str = "",
        pod_name: str = "",
        pod_namespace: str = "",
        args: Sequence[str] = (),
        capabilities: Sequence[str] | None = None,
        cwd: str = "",
        env: Sequence[str] = (),
        mounts: Sequence[Mount] = (),
        annotations: Mapping[str, str] | None = None,
        namespaces: Mapping[str, str] | None = None,
        own_cgroup: bool = True,
        cgroups_path: str = "",
        scope: bool | None = None,
        uid: int = 0,
        terminal: bool | None = None,
        root_path: str = "",
        readonly_root: bool = False,
        selinux_label: str = "",
        apparmor_profile: str = "",
        devices: Sequence[str] = (),
        unified: Mapping[str, str] | None = None,
    ) -> None:
        self.id = id
        self.annotations = annotations or {}
        self.name = name
        self.pod_uid = pod_uid
        self.pod_name = pod_name
        self.pod_namespace = pod_namespace
        self.args = tuple(args)
        self.capabilities = None if capabilities is None else frozenset(capabilities)
        self.cwd = cwd
        self.env = tuple(env)
        self.mounts = tuple(mounts)
        self.namespaces = namespaces or {}
        self.own_cgroup = own_cgroup
        self.cgroups_path = cgroups_path
        self.scope = scope
        self.uid = uid
        self.terminal = terminal
        self.root_path = root_path
        self.readonly_root = readonly_root
        self.selinux_label = selinux_label
        self.apparmor_profile = apparmor_profile
        self.devices = tuple(devices)
        self.unified = unified or {}

    @property
    def is_sandbox(self) -> bool:
        return any(self.annotations.get(key) == value for key, value in SANDBOX.items())

    @property
    def pod(self) -> str:
        """`namespace/name` of the pod, as far as known; "" outside Kubernetes."""
        return "/".join(part for part in (self.pod_namespace, self.pod_name) if part)

    def has_private(self, namespace: str) -> bool:
        """Return whether the container gets its own namespace: listed without a path (runtime-spec, config-linux)."""
        return self.namespaces.get(namespace) == ""


def from_spec(spec: Json, id: str = "", *, own_cgroup: bool = True, systemd_cgroup: bool | None = None) -> Container:
    """Return the Container for an OCI spec (the value of a config.json). `id` is the runtime's argument, "" if unknown;
    `systemd_cgroup` tells whether the runtime creates systemd scopes, None if its command line is unknown."""
    root = _Reader(spec, "")
    process, linux = root.object("process"), root.object("linux")
    namespaces = linux.objects("namespaces")
    annotations, cgroups_path = root.string_map("annotations"), linux.string("cgroupsPath")
    name, pod_uid, pod_name, pod_namespace = identity(annotations, cgroups_path)
    return Container(
        id=id,
        name=name,
        pod_uid=pod_uid,
        pod_name=pod_name,
        pod_namespace=pod_namespace,
        args=process.strings("args"),
        capabilities=process.object("capabilities").strings("bounding"),
        cwd=process.string("cwd"),
        env=process.strings("env"),
        mounts=[_mount(entry) for entry in root.objects("mounts")],
        annotations=annotations,
        namespaces={entry.string("type"): entry.string("path") for entry in namespaces},
        own_cgroup=own_cgroup,
        cgroups_path=cgroups_path,
        scope=scope(cgroups_path) if systemd_cgroup is None else systemd_cgroup,
        uid=process.object("user").integer("uid"),
        terminal=process.boolean("terminal"),
        root_path=root.object("root").string("path"),
        readonly_root=root.object("root").boolean("readonly"),
        selinux_label=process.string("selinuxLabel"),
        apparmor_profile=process.string("apparmorProfile"),
        devices=[entry.string("path") for entry in linux.objects("devices")],
        unified=linux.object("resources").string_map("unified"),
    )


def identity(annotations: Mapping[str, str], cgroups_path: str = "") -> tuple[str, ...]:
    """Return the container's name and its pod's UID, name and namespace, as set by the engine; "" for each unknown one.

    CRI-O passes on every annotation of the pod, which may include containerd's keys. Only the engine sets the path of the cgroup.
    """
    crio = CRIO in annotations and (CONTAINERD not in annotations or any(mark in cgroups_path for mark in CRIO_CGROUPS))
    keys = OF_CONTAINERD if CONTAINERD in annotations and not crio else OF_OTHERS
    return tuple(annotations.get(key, "") for key in keys)


def _mount(entry: _Reader) -> Mount:
    return Mount(entry.string("destination"), entry.string("type"), entry.string("source"), entry.strings("options"))


class _Reader:
    """One object of the spec, read by key and type. `null` counts as absent, or as "" (Go's encoding/json).

    Go ignores upper and lower case in a field's name, C does not. A wrong spelling is therefore an error, except in a map, whose
    keys are free.
    """

    def __init__(self, value: Json, place: str, *, is_map: bool = False) -> None:
        if not isinstance(value, dict):
            raise SpecError(f"{place or 'spec'}: expected an object, found {_type(value)}")
        self.value = value
        self.place = place
        self.folded = set() if is_map else {key.casefold() for key in value}
        if not is_map and len(self.folded) != len(value):
            raise SpecError(f"{place or 'spec'}: keys that differ only in upper and lower case: {self._alike()}")

    def _alike(self) -> str:
        """Return two keys that differ only in upper and lower case."""
        seen: dict[str, str] = {}
        return next(
            f"{seen[key.casefold()]} and {key}" for key in self.value if seen.setdefault(key.casefold(), key) != key
        )

    def _get(self, key: str) -> Json:
        value = self.value.get(key)
        if value is None and key not in self.value and key.casefold() in self.folded:
            raise SpecError(f"{self._at(key)}: the key has wrong upper and lower case; runtimes disagree on it")
        return value

    def _wrong(self, key: str, value: Json, expected: str) -> SpecError:
        return SpecError(f"{self._at(key)}: expected {expected}, found {_type(value)}")

    def _at(self, key: str) -> str:
        return f"{self.place}.{key}" if self.place else key

    def object(self, key: str) -> _Reader:
        value = self._get(key)
        return _Reader({} if value is None else value, self._at(key))

    def objects(self, key: str) -> list[_Reader]:
        return [_Reader(value, f"{self._at(key)}[{index}]") for index, value in enumerate(self._list(key))]

    def _list(self, key: str) -> list[Json]:
        value = self._get(key)
        if value is not None and not isinstance(value, list):
            raise self._wrong(key, value, "an array")
        return value or []

    def string(self, key: str) -> str:
        value = self._get(key)
        if value is not None and not isinstance(value, str):
            raise self._wrong(key, value, "a string")
        return value or ""

    def strings(self, key: str) -> list[str]:
        values = self._list(key)
        strings = [value for value in values if isinstance(value, str)]
        if len(strings) != len(values):  # only then look at each one
            return [self._text(value, f"{key}[{index}]") for index, value in enumerate(values)]
        return strings

    def _text(self, value: Json, key: str) -> str:
        if value is None:
            return ""
        if not isinstance(value, str):
            raise self._wrong(key, value, "a string")
        return value

    def string_map(self, key: str) -> dict[str, str]:
        value = self._get(key)
        values = _Reader({} if value is None else value, self._at(key), is_map=True).value
        strings = {name: value for name, value in values.items() if isinstance(value, str)}
        if len(strings) != len(values):
            return {name: self._text(value, f"{key}[{name!r}]") for name, value in values.items()}
        return strings

    def integer(self, key: str) -> int:
        value = self._get(key)
        if value is not None and (not isinstance(value, int) or isinstance(value, bool)):
            raise self._wrong(key, value, "an integer")
        return value or 0

    def boolean(self, key: str) -> bool:
        value = self._get(key)
        if value is not None and not isinstance(value, bool):
            raise self._wrong(key, value, "a boolean")
        return bool(value)


def _type(value: Json) -> str:
    names = {dict: "an object", list: "an array", str: "a string", bool: "a boolean", type(None): "null"}
    return names.get(type(value), "a number")
