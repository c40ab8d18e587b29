"""Pods of Kubernetes manifests, as a kubelet hands them to an engine.

Law: a field that is not read here is an error, so that no test passes without it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from tests.cri.kubelet import Kubelet
from tests.cri.pod import RUNTIME_DEFAULT, UNCONFINED, Container, Mount, Pod, Profile

Object = dict[str, Any]
TIME = "2026_01"
# What only a control plane reads, or a kubelet after the start.
UNREAD = {
    "pod": {"automountServiceAccountToken", "restartPolicy", "runtimeClassName", "terminationGracePeriodSeconds"},
    "container": {"image", "startupProbe", "readinessProbe"},
}


@dataclass(frozen=True)
class Manifest:
    """The objects of one file: one that is a pod or makes pods, and what its volumes are made of."""

    objects: tuple[Object, ...]

    @property
    def workload(self) -> Object:
        (found,) = (each for each in self.objects if each["kind"] in ("Pod", "Job", "StatefulSet"))
        return found

    @property
    def template(self) -> Object:
        """The object with the pod's annotations and specification."""
        made: Object = self.workload if self.workload["kind"] == "Pod" else self.workload["spec"]["template"]
        return made

    @property
    def spec(self) -> Object:
        spec: Object = self.template["spec"]
        return spec

    @property
    def name(self) -> str:
        """The name of the first pod."""
        ordinal = "-0" if self.workload["kind"] == "StatefulSet" else ""
        return str(self.workload["metadata"]["name"]) + ordinal

    def container(self, name: str) -> Object:
        (found,) = (each for each in self.spec["containers"] if each["name"] == name)
        return dict(found)

    def data(self, kind: str, name: str) -> Mapping[str, str]:
        """What a Secret or ConfigMap of the file holds."""
        (found,) = (each for each in self.objects if (each["kind"], each["metadata"]["name"]) == (kind, name))
        held: Mapping[str, str] = found["stringData" if kind == "Secret" else "data"]
        return held

    def pod(self, handler: str) -> Pod:
        """The pod, to be run by HANDLER."""
        nothing_else(self.spec, {"containers", "volumes"} | UNREAD["pod"])
        annotations = self.template["metadata"].get("annotations", {})
        return Pod(self.name, handler=handler, annotations=annotations, host_network=False)

    def volumes(self, kubelet: Kubelet, pod: Pod) -> dict[str, Path]:
        """Make the volumes; where each is on the node."""
        claimed = [{"name": each["metadata"]["name"], "emptyDir": {}} for each in self.claims()]
        given = [*self.spec.get("volumes", []), *claimed]
        return {each["name"]: self._volume(kubelet, pod, each) for each in given}

    def claims(self) -> list[Object]:
        found: list[Object] = self.workload["spec"].get("volumeClaimTemplates", [])
        return found

    def _volume(self, kubelet: Kubelet, pod: Pod, volume: Object) -> Path:
        name, (kind,) = volume["name"], volume.keys() - {"name"}
        return MADE[kind](self, kubelet, pod, name, volume[kind])


def secret(manifest: Manifest, kubelet: Kubelet, pod: Pod, name: str, source: Object) -> Path:
    nothing_else(source, {"secretName", "defaultMode"})
    return kubelet.written(pod, "secret", name, TIME, manifest.data("Secret", source["secretName"]))


def config_map(manifest: Manifest, kubelet: Kubelet, pod: Pod, name: str, source: Object) -> Path:
    nothing_else(source, {"name"})
    return kubelet.written(pod, "configmap", name, TIME, manifest.data("ConfigMap", source["name"]))


def empty_dir(manifest: Manifest, kubelet: Kubelet, pod: Pod, name: str, source: Object) -> Path:
    nothing_else(source, set())
    return Path(kubelet.empty_dir(pod, name, "/").host_path)


MADE: dict[str, Callable[[Manifest, Kubelet, Pod, str, Object], Path]] = {
    "secret": secret,
    "configMap": config_map,
    "emptyDir": empty_dir,
}


def container(given: Object, image: str, volumes: Mapping[str, Path]) -> Container:
    """A container of a manifest, made of IMAGE."""
    read = {"name", "command", "args", "tty", "env", "volumeMounts", "securityContext"}
    nothing_else(given, read | UNREAD["container"])
    return Container(
        name=given["name"],
        image=image,
        command=given.get("command", ()),
        args=given.get("args", ()),
        tty=given.get("tty", False),
        environment={each["name"]: each["value"] for each in given.get("env", [])},
        mounts=[mount(each, volumes) for each in given.get("volumeMounts", [])],
        **security(given.get("securityContext", {})),
    )


def mount(given: Object, volumes: Mapping[str, Path]) -> Mount:
    nothing_else(given, {"name", "mountPath", "readOnly", "subPath"})
    volume = volumes[given["name"]]
    source = volume / f"..{TIME}" / given["subPath"] if "subPath" in given else volume
    return Mount(given["mountPath"], str(source), readonly=given.get("readOnly", False))


def security(given: Object) -> dict[str, Any]:
    """Capabilities and the seccomp profile; a container that drops all capabilities gains no privileges either."""
    nothing_else(given, {"allowPrivilegeEscalation", "capabilities", "seccompProfile"})
    drops = given.get("capabilities", {}).get("drop", [])
    if (drops, given.get("allowPrivilegeEscalation", True)) not in (([], True), (["ALL"], False)):
        raise ValueError(f"not known here: {given}")
    default = given.get("seccompProfile", {}).get("type") == "RuntimeDefault"
    return {
        "capabilities": given["capabilities"]["add"] if drops else None,
        "seccomp": Profile(RUNTIME_DEFAULT if default else UNCONFINED),
    }


def nothing_else(given: Object, known: set[str]) -> None:
    if given.keys() - known:
        raise ValueError(f"not known here: {', '.join(sorted(given.keys() - known))}")


def read(path: Path) -> Manifest:
    """The manifest in a file."""
    return Manifest(tuple(yaml.safe_load_all(path.read_text())))
