"""Drive an engine's CRI socket (containerd, CRI-O) as the kubelet does: describe a `Pod` and its `Container`s, hand them to `Cri`.

Law: no call waits for ever.
"""

import json
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import grpc

from tests.cri.messages import MESSAGES as MSG
from tests.cri.pod import Container, Pod

LIMIT = 120
"""Seconds for any call."""
# An engine that starts again is asked again at once, not after gRPC's growing pauses.
RECONNECT = (("grpc.initial_reconnect_backoff_ms", 100), ("grpc.max_reconnect_backoff_ms", 200))
# enum ContainerState
CREATED, RUNNING, EXITED, UNKNOWN = range(4)


@dataclass(frozen=True)
class Result:
    """What a command in a container came to."""

    exit_code: int
    stdout: str
    stderr: str


class Cri:
    """The engine behind a CRI socket. Calls that fail raise grpc.RpcError; its details() is the engine's message."""

    def __init__(self, socket: str) -> None:
        self._channel = grpc.insecure_channel(f"unix:{socket}", options=RECONNECT)

    def call(self, method: str, **fields: Any) -> Any:
        """Call a method of runtime.v1.RuntimeService."""
        request = MSG[method + "Request"](**fields)
        unary: Callable[..., Any] = self._channel.unary_unary(
            f"/runtime.v1.RuntimeService/{method}",
            request_serializer=lambda message: message.SerializeToString(),
            response_deserializer=MSG[method + "Response"].FromString,
        )
        return unary(request, timeout=LIMIT)

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

    def status(self, container_id: str) -> Any:
        """What the engine knows of a container: its state, exit code, reason and message."""
        return self.call("ContainerStatus", container_id=container_id).status

    def wait_booted(self, container_id: str, limit: int = 20) -> str:
        """Wait for systemd in a container. Return its state (running, degraded), or the last output."""
        end = time.monotonic() + limit
        heard = "nothing"
        while time.monotonic() < end and self.status(container_id).state == RUNNING:
            try:
                # It is one command that waits: asking again and again would cost more than the boot.
                answer = self.execute(container_id, "systemctl", "is-system-running", "--wait", timeout=limit)
                heard = (answer.stdout + answer.stderr).strip()
            except grpc.RpcError as error:
                heard = str(error.details())
            if heard in ("running", "degraded"):
                break
            time.sleep(0.1)
        return heard

    def stop(self, container_id: str, grace: int = 30) -> float:
        """Stop a container; the seconds it took."""
        start = time.monotonic()
        self.call("StopContainer", container_id=container_id, timeout=grace)
        return time.monotonic() - start

    def remove(self, container_id: str) -> None:
        """Remove a container that has stopped."""
        self.call("RemoveContainer", container_id=container_id)

    def close(self) -> None:
        """Let go of the socket."""
        self._channel.close()

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
