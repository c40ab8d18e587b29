"""Drive an engine's CRI socket (containerd, CRI-O) as the kubelet does.

As a module: describe a `Pod` and its `Container`s, hand them to `Cri`. As a command, it boots systemd in one pod, says
what became of it, and removes it:

    cri.py SOCKET [HANDLER] [--image NAME]

Needs grpcio and protobuf, and the rights to open SOCKET.
"""

import argparse
import json
import sys
import time
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import grpc
from cri_messages import MESSAGES as MSG

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
    """An explicit SELinux label; what is empty is the engine's choice."""

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
            log_directory=f"/var/log/pods/{self.namespace}_{self.name}_{self.uid}",
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
    environment: Mapping[str, str] = field(default_factory=dict)
    mounts: Sequence[Mount] = ()
    annotations: Mapping[str, str] = field(default_factory=dict)
    limits: Limits | None = None
    tty: bool = False
    readonly_root: bool = False
    run_as_user: int | None = None
    seccomp: Profile = Profile(UNCONFINED)
    apparmor: Profile | None = None
    selinux: SELinux | None = None

    def message(self, pod: Pod) -> Any:
        """The CRI message."""
        linux = MSG["LinuxContainerConfig"](security_context=self._security(pod))
        if self.limits:
            linux.resources.CopyFrom(self.limits.message())
        return MSG["ContainerConfig"](
            metadata=MSG["ContainerMetadata"](name=self.name, attempt=0),
            image=MSG["ImageSpec"](image=self.image, user_specified_image=self.image),
            command=self.command,
            args=self.args,
            envs=[MSG["KeyValue"](key=key, value=value.encode()) for key, value in self.environment.items()],
            mounts=[_mount_message(mount, pod) for mount in self.mounts],
            labels={**pod.labels, "io.kubernetes.container.name": self.name},
            annotations={"io.kubernetes.container.restartCount": "0", **self.annotations},
            log_path=f"{self.name}/0.log",
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


@dataclass(frozen=True)
class Result:
    """What a command in a container came to."""

    exit_code: int
    stdout: str
    stderr: str


class Cri:
    """The engine behind a CRI socket. Calls that fail raise grpc.RpcError; its details() is the engine's message."""

    def __init__(self, socket: str) -> None:
        self._channel = grpc.insecure_channel(f"unix:{socket}")

    def call(self, method: str, **fields: Any) -> Any:
        """Call a method of runtime.v1.RuntimeService."""
        request = MSG[method + "Request"](**fields)
        unary = self._channel.unary_unary(
            f"/runtime.v1.RuntimeService/{method}",
            request_serializer=lambda message: message.SerializeToString(),
            response_deserializer=MSG[method + "Response"].FromString,
        )
        return unary(request)

    def version(self) -> str:
        """The engine's version."""
        return str(self.call("Version").runtime_version)

    def wait_ready(self, limit: float = 20) -> str:
        """Wait for the engine to answer; its version."""
        end = time.monotonic() + limit
        while True:
            try:
                return self.version()
            except grpc.RpcError:
                if time.monotonic() > end:
                    raise
                time.sleep(0.1)

    def run_pod(self, pod: Pod) -> str:
        """Start a pod's sandbox; its ID."""
        reply = self.call("RunPodSandbox", config=pod.message(), runtime_handler=pod.handler)
        return str(reply.pod_sandbox_id)

    def create(self, pod_id: str, pod: Pod, container: Container) -> str:
        """Create a container in a running pod; its ID."""
        config = container.message(pod)
        reply = self.call("CreateContainer", pod_sandbox_id=pod_id, config=config, sandbox_config=pod.message())
        return str(reply.container_id)

    def start(self, container_id: str) -> None:
        """Start a created container: only now is the runtime called."""
        self.call("StartContainer", container_id=container_id)

    def execute(self, container_id: str, *command: str, timeout: int = 20) -> Result:
        """Run a command in a container."""
        reply = self.call("ExecSync", container_id=container_id, cmd=command, timeout=timeout)
        return Result(reply.exit_code, reply.stdout.decode(), reply.stderr.decode())

    def info(self, container_id: str) -> dict[str, Any]:
        """What the engine tells of a container beyond the CRI; containerd's has `runtimeSpec`."""
        reply = self.call("ContainerStatus", container_id=container_id, verbose=True)
        return dict(json.loads(reply.info["info"]))

    def wait_booted(self, container_id: str, limit: float = 20) -> str:
        """Wait for systemd in a container; its state (running, degraded) or what was last heard."""
        end = time.monotonic() + limit
        heard = "nothing"
        while time.monotonic() < end:
            try:
                heard = self.execute(container_id, "systemctl", "is-system-running").stdout.strip()
            except grpc.RpcError as error:
                heard = str(error.details())
            if heard in ("running", "degraded"):
                break
            time.sleep(0.2)
        return heard

    def stop(self, container_id: str, grace: int = 30) -> float:
        """Stop a container; the seconds it took."""
        start = time.monotonic()
        self.call("StopContainer", container_id=container_id, timeout=grace)
        return time.monotonic() - start

    def remove_pod(self, pod_id: str) -> None:
        """Stop and remove a pod with all its containers; like the kubelet, try again where it fails."""
        for last in (False, False, True):
            try:
                self.call("StopPodSandbox", pod_sandbox_id=pod_id)
                self.call("RemovePodSandbox", pod_sandbox_id=pod_id)
                return
            except grpc.RpcError:
                if last:
                    raise
                time.sleep(1)


def main() -> None:
    """Boot systemd in one pod and say what became of it."""
    parser = argparse.ArgumentParser(description="Boot systemd in one pod over CRI.")
    parser.add_argument("socket")
    parser.add_argument("handler", nargs="?", default="")
    parser.add_argument("--image", default=IMAGE)
    options = parser.parse_args()
    cri = Cri(options.socket)
    pod = Pod("boot", handler=options.handler)
    pod_id = cri.run_pod(pod)
    try:
        container_id = cri.create(pod_id, pod, Container(image=options.image))
        cri.start(container_id)
        print("state", cri.wait_booted(container_id))
        print("machine-id", cri.execute(container_id, "cat", "/etc/machine-id").stdout.strip())
        print("stopped in", round(cri.stop(container_id, 10), 2))
    except grpc.RpcError as error:
        sys.exit(f"{error.code()}: {error.details()}")
    finally:
        cri.remove_pod(pod_id)


if __name__ == "__main__":
    main()
