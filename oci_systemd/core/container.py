"""The facts about a container that the rules read, taken from an OCI spec. Nothing else of the spec is looked at.

Law: a wrong type where we read is a SpecError that names the place; what we do not read may be anything.
"""

from __future__ import annotations

from oci_systemd.core.cgroups import scope
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
CONTAINERD, CRIO = "io.kubernetes.cri.container-type", "io.kubernetes.cri-o.ContainerType"  # on every container of each
# The annotations by which an engine names a container, its pod's UID, name and namespace: containerd's, and all others'.
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
CRIO_CGROUPS = (":crio:", "/crio-")  # in the path of each of its containers' cgroups, by either driver


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
    `capabilities` are the bounding ones, which is what a service of root's can have; None where they cannot be seen.
    `cwd` is "" if unknown. `cgroups_path` is linux.cgroupsPath, unchanged. `own_cgroup` is false where the
    runtime was told to make none (podman --cgroups=disabled): a private cgroup namespace then begins at the cgroup of whoever
    starts it, which may be the host's root. `scope` is whether the runtime has the host's systemd make a scope for it, None where
    that is not known. `terminal` is None where it cannot be seen.
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
        """`namespace/name` of the pod, as far as the engine tells; "" outside Kubernetes."""
        return "/".join(part for part in (self.pod_namespace, self.pod_name) if part)

    def has_private(self, namespace: str) -> bool:
        """Whether the container gets a namespace of its own: it is listed, without a path (runtime-spec, config-linux)."""
        return self.namespaces.get(namespace) == ""


def from_spec(spec: Json, id: str = "", *, own_cgroup: bool = True, systemd_cgroup: bool | None = None) -> Container:
    """The Container that an OCI spec (the value of a config.json) describes; `id` is the runtime's argument, "" if unknown, and
    `systemd_cgroup` whether it was told to make systemd scopes, None where its command line cannot be seen."""
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
    """The container's name, its pod's UID, name and namespace, as the engine that wrote the spec has them; "" for each unknown one.

    CRI-O hands on every annotation that a pod's author writes, so that containerd's keys may stand beside its own; the path of the
    cgroup is the engine's alone.
    """
    crio = CRIO in annotations and (CONTAINERD not in annotations or any(mark in cgroups_path for mark in CRIO_CGROUPS))
    keys = OF_CONTAINERD if CONTAINERD in annotations and not crio else OF_OTHERS
    return tuple(annotations.get(key, "") for key in keys)


def _mount(entry: _Reader) -> Mount:
    return Mount(entry.string("destination"), entry.string("type"), entry.string("source"), entry.strings("options"))


class _Reader:
    """One object of the spec, read by key and type. `null` is what is absent, or "" (Go's encoding/json).

    Go takes a key in any spelling of upper and lower case for the field, C takes none but the right one. So a wrong spelling is
    bad input, unless the object is a map, where every key stands for itself.
    """

    def __init__(self, value: Json, place: str, *, is_map: bool = False) -> None:
        if not isinstance(value, dict):
            raise SpecError(f"{place or 'the spec'} is {_type(value)} where an object belongs")
        self.value = value
        self.place = place
        self.folded = set() if is_map else {key.casefold() for key in value}
        if not is_map and len(self.folded) != len(value):
            raise SpecError(
                f"{place or 'the spec'} has keys that differ in upper and lower case alone: {self._alike()}"
            )

    def _alike(self) -> str:
        """Two keys that differ in case alone."""
        seen: dict[str, str] = {}
        return next(
            f"{seen[key.casefold()]} and {key}" for key in self.value if seen.setdefault(key.casefold(), key) != key
        )

    def _get(self, key: str) -> Json:
        value = self.value.get(key)
        if value is None and key not in self.value and key.casefold() in self.folded:
            raise SpecError(f"{self._at(key)} is spelled with other upper and lower case; runtimes disagree on it")
        return value

    def _wrong(self, key: str, value: Json, expected: str) -> SpecError:
        return SpecError(f"{self._at(key)} is {_type(value)} where {expected} belongs")

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
