"""A pod and its containers, as the kubelet describes them to an engine: values that turn into CRI messages."""

import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from tests.cri.messages import MESSAGES as MSG

IMAGE = "docker.io/example/systemd:1"

# enum NamespaceMode
POD_NAMESPACE, CONTAINER_NAMESPACE, NODE_NAMESPACE = 0, 1, 2
# enum SecurityProfile.ProfileType
RUNTIME_DEFAULT, UNCONFINED, LOCALHOST = 0, 1, 2

# What the kubelet sends where a container leaves procMount alone.
MASKED_PATHS = (
    "/proc/asound",
    "/proc/acpi",
    "/proc/kcore",
    "/proc/keys",
    "/proc/latency_stats",
    "/proc/timer_list",
    "/proc/timer_stats",
    "/proc/sched_debug",
    "/proc/scsi",
    "/sys/firmware",
    "/sys/devices/virtual/powercap",
)
READONLY_PATHS = ("/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger")


@dataclass(frozen=True)
class Mount:
    """One mount of a container, from the host."""

    container_path: str
    host_path: str
    readonly: bool = False
    recursive_read_only: bool = False


@dataclass(frozen=True)
class Limits:
    """A container's share of the machine, as the kubelet works it out of requests and limits."""

    cpu_shares: int = 102
    cpu_quota: int = 50_000
    memory: int = 512 << 20
    oom_score_adj: int = 936

    def message(self) -> Any:
        """The CRI message."""
        sizes = ("2MB", "1GB")
        return MSG["LinuxContainerResources"](
            cpu_period=100_000,
            cpu_quota=self.cpu_quota,
            cpu_shares=self.cpu_shares,
            memory_limit_in_bytes=self.memory,
            memory_swap_limit_in_bytes=self.memory,
            oom_score_adj=self.oom_score_adj,
            hugepage_limits=[MSG["HugepageLimit"](page_size=size, limit=0) for size in sizes],
            unified={"memory.oom.group": "1"},
        )


@dataclass(frozen=True)
class SELinux:
    """An explicit SELinux label; the engine chooses each empty part."""

    type: str = ""
    level: str = ""
    user: str = ""
    role: str = ""

    def message(self) -> Any:
        """The CRI message."""
        return MSG["SELinuxOption"](user=self.user, role=self.role, type=self.type, level=self.level)


@dataclass(frozen=True)
class Profile:
    """A seccomp or AppArmor profile."""

    kind: int = UNCONFINED
    name: str = ""

    def message(self) -> Any:
        """The CRI message."""
        return MSG["SecurityProfile"](profile_type=self.kind, localhost_ref=self.name)


@dataclass(frozen=True)
class Pod:
    """What a pod says that all its containers share."""

    name: str
    uid: str = field(default_factory=lambda: str(uuid.uuid4()))
    namespace: str = "default"
    handler: str = ""
    annotations: Mapping[str, str] = field(default_factory=dict)
    cgroup_parent: str = "/corpus"
    privileged: bool = False
    host_network: bool = True
    host_pid: bool = False
    user_namespace: int | None = None
    """The first of the 65536 host IDs of a pod with hostUsers: false."""
    selinux: SELinux | None = None
    limits: Limits | None = None

    @property
    def log_directory(self) -> str:
        """Where the engine writes what its containers say."""
        return f"/var/log/pods/{self.namespace}_{self.name}_{self.uid}"

    @property
    def labels(self) -> dict[str, str]:
        """The labels that the kubelet puts on everything of the pod."""
        return {
            "io.kubernetes.pod.name": self.name,
            "io.kubernetes.pod.namespace": self.namespace,
            "io.kubernetes.pod.uid": self.uid,
        }

    def namespaces(self) -> Any:
        """The CRI message of the pod's namespaces."""
        options = MSG["NamespaceOption"](
            network=NODE_NAMESPACE if self.host_network else POD_NAMESPACE,
            pid=NODE_NAMESPACE if self.host_pid else CONTAINER_NAMESPACE,
            ipc=POD_NAMESPACE,
        )
        if self.user_namespace is not None:
            ids = self.id_mappings()
            options.userns_options.CopyFrom(MSG["UserNamespace"](mode=POD_NAMESPACE, uids=ids, gids=ids))
        return options

    def id_mappings(self) -> list[Any]:
        """The CRI messages of the pod's user namespace."""
        if self.user_namespace is None:
            return []
        return [MSG["IDMapping"](host_id=self.user_namespace, container_id=0, length=65536)]

    def message(self) -> Any:
        """The CRI message."""
        security = MSG["LinuxSandboxSecurityContext"](
            privileged=self.privileged,
            namespace_options=self.namespaces(),
            seccomp=Profile(RUNTIME_DEFAULT).message(),
        )
        if self.selinux:
            security.selinux_options.CopyFrom(self.selinux.message())
        linux = MSG["LinuxPodSandboxConfig"](cgroup_parent=self.cgroup_parent, security_context=security)
        if self.limits:
            linux.resources.CopyFrom(self.limits.message())
        return MSG["PodSandboxConfig"](
            metadata=MSG["PodSandboxMetadata"](name=self.name, uid=self.uid, namespace=self.namespace, attempt=0),
            hostname="" if self.host_network else self.name,
            log_directory=self.log_directory,
            dns_config=MSG["DNSConfig"](servers=["10.96.0.10"], searches=["cluster.local"], options=["ndots:5"]),
            labels=self.labels,
            annotations={"kubernetes.io/config.source": "api", **self.annotations},
            linux=linux,
        )


@dataclass(frozen=True)
class Container:
    """One container of a pod."""

    name: str = "main"
    image: str = IMAGE
    command: Sequence[str] = ("/sbin/init",)
    args: Sequence[str] = ()
    working_dir: str = ""
    environment: Mapping[str, str] = field(default_factory=dict)
    mounts: Sequence[Mount] = ()
    annotations: Mapping[str, str] = field(default_factory=dict)
    limits: Limits | None = None
    tty: bool = False
    readonly_root: bool = False
    run_as_user: int | None = None
    capabilities: Sequence[str] | None = None
    """The only ones that it has; None for the engine's usual ones."""
    seccomp: Profile = Profile(UNCONFINED)
    apparmor: Profile | None = None
    selinux: SELinux | None = None
    attempt: int = 0
    """How often the kubelet has started it again."""

    @property
    def log_path(self) -> str:
        """Its log, below the pod's directory."""
        return f"{self.name}/{self.attempt}.log"

    def message(self, pod: Pod) -> Any:
        """The CRI message."""
        linux = MSG["LinuxContainerConfig"](security_context=self._security(pod))
        if self.limits:
            linux.resources.CopyFrom(self.limits.message())
        return MSG["ContainerConfig"](
            metadata=MSG["ContainerMetadata"](name=self.name, attempt=self.attempt),
            image=MSG["ImageSpec"](image=self.image, user_specified_image=self.image),
            command=self.command,
            args=self.args,
            working_dir=self.working_dir,
            envs=[MSG["KeyValue"](key=key, value=value.encode()) for key, value in self.environment.items()],
            mounts=[_mount_message(mount, pod) for mount in self.mounts],
            labels={**pod.labels, "io.kubernetes.container.name": self.name},
            annotations={"io.kubernetes.container.restartCount": str(self.attempt), **self.annotations},
            log_path=self.log_path,
            tty=self.tty,
            linux=linux,
        )

    def _security(self, pod: Pod) -> Any:
        security = MSG["LinuxContainerSecurityContext"](
            privileged=pod.privileged,
            namespace_options=pod.namespaces(),
            readonly_rootfs=self.readonly_root,
            masked_paths=() if pod.privileged else MASKED_PATHS,
            readonly_paths=() if pod.privileged else READONLY_PATHS,
            seccomp=self.seccomp.message(),
        )
        if self.run_as_user is not None:
            security.run_as_user.value = self.run_as_user
        if self.capabilities is not None:
            own = MSG["Capability"](add_capabilities=self.capabilities, drop_capabilities=["ALL"])
            security.capabilities.CopyFrom(own)
            security.no_new_privs = True
        if self.apparmor:
            security.apparmor.CopyFrom(self.apparmor.message())
        if self.selinux:
            security.selinux_options.CopyFrom(self.selinux.message())
        return security


def _mount_message(mount: Mount, pod: Pod) -> Any:
    return MSG["Mount"](
        container_path=mount.container_path,
        host_path=mount.host_path,
        readonly=mount.readonly,
        recursive_read_only=mount.recursive_read_only,
        uid_mappings=pod.id_mappings(),
        gid_mappings=pod.id_mappings(),
    )
