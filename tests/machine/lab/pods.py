"""Pods in the machine's containerd, driven over its socket as the kubelet does."""

import subprocess
import uuid
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from oci_systemd.nri.table import messages
from tests.cri.client import Cri
from tests.cri.messages import MESSAGES
from tests.cri.pod import Container, Mount, Pod
from tests.machine.lab.archives import image
from tests.machine.lab.engines import handlers
from tests.machine.lab.life import until
from tests.machine.lab.machine import Machine

SOCKET = "/run/containerd/containerd.sock"
PARENT = "/kubepods.slice/kubepods-besteffort.slice/kubepods-besteffort-pod{}.slice"
# What the corpus' table of messages has no use for.
UPDATE = """
Resources                         memory_limit_in_bytes=4j memory_swap_limit_in_bytes=10j unified=9M
UpdateContainerResourcesRequest   container_id=1s linux=2Resources
UpdateContainerResourcesResponse
"""
UNCONFINED = 1  # of a seccomp or AppArmor profile, in the CRI
EXITED = 2


@dataclass(frozen=True)
class Rights:
    """What a container asks for and is given beside the engine's defaults, in the words of a pod's specification."""

    memory: int = 0
    unified: Mapping[str, str] = field(default_factory=dict)
    drop: Sequence[str] = ()
    add: Sequence[str] = ()
    proc_mount: str = "Default"
    apparmor: str = "RuntimeDefault"
    seccomp: str = "Unconfined"  # a kubelet's own default
    volumes: Mapping[str, str] = field(default_factory=dict)
    user: int | None = None

    def apply(self, config: Any) -> Any:
        security = config.linux.security_context
        security.capabilities.drop_capabilities.extend(self.drop)
        security.capabilities.add_capabilities.extend(self.add)
        config.linux.resources.memory_limit_in_bytes = self.memory
        config.linux.resources.unified.update(self.unified)
        security.seccomp.profile_type = int(self.seccomp == "Unconfined")
        if self.user is not None:
            security.run_as_user.value = self.user
        if self.apparmor == "Unconfined":
            security.apparmor.profile_type = UNCONFINED
        if self.proc_mount == "Unmasked":
            del security.masked_paths[:], security.readonly_paths[:]
        return config


class Kubelet:
    def __init__(self, machine: Machine) -> None:
        self.machine = machine
        MESSAGES.update(messages("cri.update", UPDATE))
        self.cri = Cri(str(machine.forward(SOCKET)))
        self.cri.wait_ready()

    @contextmanager
    def pod(
        self, handler: str, name: str, *command: str, rights: Rights | None = None, **annotations: str
    ) -> "Iterator[PodGuest]":
        """A pod of one container; an annotation's key is written with _ for what an identifier cannot hold."""
        uid = str(uuid.uuid4())
        pod = Pod(
            f"{name}-{uid[:8]}",
            uid=uid,
            handler=handler,
            cgroup_parent=PARENT.format(uid.replace("-", "_")),
            annotations={f"io.systemd.container.{key}": value for key, value in annotations.items()},
        )
        sandbox = self.cri.run_pod(pod)
        try:
            container = Container(image=image(name), command=command, mounts=self._mounts(rights or Rights()))
            yield self._start(sandbox, pod, (rights or Rights()).apply(container.message(pod)))
        finally:
            self.cri.remove_pod(sandbox)

    def _mounts(self, rights: Rights) -> list[Any]:
        return [Mount(place, source) for place, source in rights.volumes.items()]

    def _start(self, sandbox: str, pod: Any, config: Any) -> "PodGuest":
        created = self.cri.call("CreateContainer", pod_sandbox_id=sandbox, config=config, sandbox_config=pod.message())
        self.cri.start(created.container_id)
        return PodGuest(self, created.container_id, f"{pod.message().log_directory}/main/0.log")

    def ctr(self, *words: str, given: str = "") -> subprocess.CompletedProcess[str]:
        return self.machine.run("ctr", "--namespace=k8s.io", *words, check=False, given=given)

    def ctr_run(self, handler: str, name: str, *command: str, given: str = "") -> subprocess.CompletedProcess[str]:
        """Run a container that is in no pod, to its end."""
        own = uuid.uuid4().hex
        runtime = [f"--runc-binary={handlers()[handler]}", "--runc-systemd-cgroup", f"--cgroup=system.slice:lab:{own}"]
        return self.ctr("run", "--rm", *runtime, image(name), own, *command, given=given)


@dataclass
class PodGuest:
    kubelet: Kubelet
    id: str
    log: str

    @property
    def machine(self) -> Machine:
        return self.kubelet.machine

    @property
    def cri(self) -> Any:
        return self.kubelet.cri

    def run(self, *words: str) -> subprocess.CompletedProcess[str]:
        done = self.cri.execute(self.id, *words, timeout=120)
        return subprocess.CompletedProcess(words, done.exit_code, done.stdout, done.stderr)

    def ask(self, *words: str) -> str:
        return self.run(*words).stdout.strip()

    def pid(self) -> int:
        return int(self.cri.info(self.id)["pid"])

    def state(self) -> int:
        return int(self.cri.call("ContainerStatus", container_id=self.id).status.state)

    def stop(self, grace: int) -> None:
        self.cri.stop(self.id, grace)

    def exit_code(self) -> int:
        until(lambda: str(self.state()), str(EXITED).__eq__, 10)
        return int(self.cri.call("ContainerStatus", container_id=self.id).status.exit_code)

    def update(self, *, memory: int, pids: int) -> None:
        """What a kubelet does when a pod is resized."""
        limits = {"memory_limit_in_bytes": memory, "memory_swap_limit_in_bytes": memory}
        linux = {**limits, "unified": {"pids.max": str(pids)}}
        self.cri.call("UpdateContainerResources", container_id=self.id, linux=linux)

    def task_state(self) -> str:
        tasks = self.kubelet.ctr("tasks", "list").stdout.splitlines()
        return next(line.split()[2].lower() for line in tasks if line.startswith(self.id))

    def logs(self, stream: str = "") -> str:
        """Each line of the log file is TIME STREAM F TEXT."""
        lines = [each.split(" ", 3) for each in self.machine.output("cat", self.log).splitlines()]
        return "".join(f"{text}\n" for _, source, _, text in lines if source == stream or not stream)
