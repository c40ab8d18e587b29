"""Pods on a node, made and removed as the kubelet does.

Law: a closed pod leaves no container, no bundle and no cgroup; anything left is an error.
"""

from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from typing import Any

import grpc

from tests.cri.client import EXITED, RUNNING, Result
from tests.cri.kubelet import ENVIRONMENT, Kubelet
from tests.cri.pod import Container, Mount, Pod
from tests.e2e.lab.closing import Closing
from tests.e2e.lab.container import until
from tests.e2e.lab.containerd import BUNDLES, HANDLER, Containerd
from tests.e2e.lab.images import name
from tests.e2e.lab.silence import silence

INIT = Container(image=name("debian-13"))


def nothing(kubelet: Kubelet, pod: Pod) -> list[Mount]:
    return []


@dataclass(frozen=True)
class Case:
    """A pod of one container: what its manifest says."""

    container: Container = INIT
    pod: Mapping[str, Any] = field(default_factory=dict)
    volumes: Callable[[Kubelet, Pod], list[Mount]] = nothing


class LivePod(Closing):
    """A pod's sandbox, and the containers that were started in it."""

    def __init__(self, engine: Containerd, pod: Pod) -> None:
        self.engine = engine
        self.pod = replace(pod, cgroup_parent=f"/kubepods/burstable/pod{pod.uid}")
        self.id = engine.cri.run_pod(self.pod)
        self.ids = [self.id]

    def run(self, container: Container, volumes: Sequence[Mount] = ()) -> "Guest":
        """Create and start a container, with what the kubelet gives every one."""
        mounts = [*volumes, *self.engine.kubelet.own_mounts(self.pod, container.name)]
        whole = replace(container, mounts=mounts, environment={**ENVIRONMENT, **container.environment})
        self.engine.kubelet.log(self.pod, whole)
        guest = Guest(self, whole, self.engine.cri.create(self.id, self.pod, whole))
        self.ids.append(guest.id)
        self.engine.cri.start(guest.id)
        return guest

    def close(self) -> None:
        self.engine.cri.remove_pod(self.id)
        with suppress(FileNotFoundError):  # the kubelet's own, which cannot go while there is anything in it
            self.engine.node.path(f"/sys/fs/cgroup{self.pod.cgroup_parent}").rmdir()
        left = [id for id in self.ids if self.engine.node.path(BUNDLES / id).exists()]
        assert not left, left


@dataclass(frozen=True)
class Guest:
    """A container that was started in a pod."""

    where: LivePod
    container: Container
    id: str

    def exec(self, *words: str) -> Result:
        return self.where.engine.cri.execute(self.id, *words)

    def output(self, *words: str) -> str:
        """What a command says, on either stream, or what the engine says in its place."""
        try:
            done = self.exec(*words)
        except grpc.RpcError as error:
            return str(error.details())
        return (done.stdout + done.stderr).strip()

    def system_state(self, limit: int = 60) -> str:
        return self.where.engine.cri.wait_booted(self.id, limit)

    @property
    def status(self) -> Any:
        return self.where.engine.cri.status(self.id)

    def is_running(self) -> bool:
        return bool(self.status.state == RUNNING)

    def wait_exited(self, limit: float = 20) -> bool:
        return until(lambda: str(self.status.state), str(EXITED).__eq__, limit) == str(EXITED)

    def stop(self, grace: int = 10) -> float:
        """Seconds from the kubelet's word until it has stopped."""
        with silence():
            return self.where.engine.cri.stop(self.id, grace)

    @property
    def log(self) -> str:
        return self.where.engine.kubelet.log(self.where.pod, self.container).read_text(errors="replace")

    @property
    def given(self) -> Any:
        return self.where.engine.given(self.id)

    @property
    def described(self) -> Any:
        return self.where.engine.described(self.id)


def sandbox(engine: Containerd, title: str, case: Case) -> LivePod:
    """The pod of a case, without its container."""
    handler = engine.handler(case.pod.get("handler", HANDLER))
    return LivePod(engine, Pod(title, **{**case.pod, "handler": handler}))


def begin(engine: Containerd, title: str, case: Case) -> Guest:
    """The pod of a case with its container started; the pod is `where`."""
    pod = sandbox(engine, title, case)
    try:
        return pod.run(case.container, case.volumes(engine.kubelet, pod.pod))
    except BaseException:
        pod.close()
        raise
