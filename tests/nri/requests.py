"""Requests as a runtime makes them: from an OCI spec that it has just generated, or from a few words."""

from __future__ import annotations

from typing import Any

from oci_systemd.core.annotations import OLD_STOP_SIGNALS, WANTED
from oci_systemd.nri.messages import MESSAGES, PARTS

POD_UID = "8b1a9953-c461-4296-a827-abf8c47804d7"
ID = "4fcd1d7d4ac2c1a5d0ab5b3e9c8f6d2b17e0a9c4d3b2f1e60718293a4b5c6d7e"
# What containerd gives every container of an unprivileged pod, as far as it matters here.
MOUNTS = [
    {"destination": "/proc", "type": "proc", "source": "proc", "options": ["nosuid", "noexec", "nodev"]},
    {"destination": "/dev", "type": "tmpfs", "source": "tmpfs", "options": ["nosuid", "mode=755"]},
    {"destination": "/sys", "type": "sysfs", "source": "sysfs", "options": ["nosuid", "ro"]},
    {"destination": "/sys/fs/cgroup", "type": "cgroup", "source": "cgroup", "options": ["nosuid", "relatime", "ro"]},
    {"destination": "/dev/shm", "type": "bind", "source": "/run/shm", "options": ["rbind", "ro"]},
]


def spec(*args: str, mounts: Any = (), annotations: Any = None, env: Any = ("PATH=/bin",)) -> dict[str, Any]:
    """A small spec with the command ARGS, by default systemd's."""
    return {
        "process": {"args": [*(args or ("/sbin/init",))], "env": [*env], "user": {"uid": 0}},
        "mounts": [*MOUNTS, *mounts],
        "annotations": annotations or {},
        "linux": {"namespaces": [{"type": "pid"}, {"type": "cgroup"}, {"type": "mount"}]},
    }


def is_for_us(key: str) -> bool:
    """Whether a wrapper's handler would pass this annotation of a pod (`oci-systemd install`)."""
    return key.startswith(WANTED) or key in OLD_STOP_SIGNALS


def request(
    spec: dict[str, Any],
    id: str = ID,
    name: str = "main",
    uid: str = POD_UID,
    pod_name: str = "pod",
    namespace: str = "default",
) -> Any:
    """The CreateContainerRequest for a container of this spec. What of its annotations is for us, is the pod's."""
    process, linux = spec["process"], spec.get("linux") or {}
    annotations = spec.get("annotations") or {}
    pod = MESSAGES["PodSandbox"](
        id="sandbox",
        name=pod_name,
        namespace=namespace,
        uid=uid,
        annotations={key: value for key, value in annotations.items() if is_for_us(key)},
    )
    return MESSAGES["CreateContainerRequest"](
        pod=pod,
        container=MESSAGES["Container"](
            id=id,
            pod_sandbox_id="sandbox",
            name=name,
            annotations={key: value for key, value in annotations.items() if not is_for_us(key)},
            args=process.get("args") or [],
            env=process.get("env") or [],
            mounts=[_mount(each) for each in spec.get("mounts") or []],
            linux=_linux(linux),
            user={"uid": (process.get("user") or {}).get("uid") or 0},
        ),
    )


def parts(message: Any) -> Any:
    """A message as the plugin reads it."""
    return PARTS[message.DESCRIPTOR.name].FromString(message.SerializeToString())


def _mount(given: dict[str, Any]) -> Any:
    fields = {key: given.get(key) or "" for key in ("destination", "type", "source")}
    return MESSAGES["Mount"](**fields, options=given.get("options") or [])


def _linux(linux: dict[str, Any]) -> Any:
    namespaces = [{"type": each["type"], "path": each.get("path") or ""} for each in linux.get("namespaces") or []]
    unified = (linux.get("resources") or {}).get("unified") or {}
    devices = [{"path": each["path"]} for each in linux.get("devices") or []]
    more = {"resources": {"unified": unified}, "cgroups_path": linux.get("cgroupsPath") or ""}
    return MESSAGES["LinuxContainer"](namespaces=namespaces, devices=devices, **more)
