"""The Kubernetes files that are handed out: every pod names the RuntimeClass, and its containers are what its comment says."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import kubernetes_validate
import pytest
import yaml

from oci_systemd.core.adjust import adjust
from oci_systemd.core.container import from_spec
from oci_systemd.core.host import Host
from oci_systemd.core.settings import Settings
from oci_systemd.engines.wanted import Wanted

FOLDER = Path(__file__).parents[2] / "packaging/kubernetes"
KUBERNETES = "1.36.0"
WORKLOADS = ("Pod", "Job", "StatefulSet")
PODS = sorted((FOLDER / "pods").glob("*.yaml"))


def documents(path: Path) -> list[dict[str, Any]]:
    return list(yaml.safe_load_all(path.read_text()))


def pod(path: Path) -> tuple[dict[str, str], dict[str, Any]]:
    """The annotations and the pod spec, of the one pod in a file or of what makes pods."""
    (document,) = (each for each in documents(path) if each["kind"] in WORKLOADS)
    template = document if document["kind"] == "Pod" else document["spec"]["template"]
    return template["metadata"].get("annotations", {}), template["spec"]


def spec(annotations: dict[str, str], container: dict[str, Any]) -> dict[str, Any]:
    """What containerd makes of it, as far as the rules look."""
    return {
        "process": {"args": [*container.get("command", ["/program"]), *container.get("args", [])], "env": []},
        "root": {"path": "rootfs"},
        "mounts": [
            {"destination": "/sys/fs/cgroup", "type": "cgroup", "source": "cgroup", "options": ["ro"]},
            {"destination": "/dev/shm", "type": "tmpfs", "source": "shm"},
        ],
        "linux": {"namespaces": [{"type": "pid"}, {"type": "cgroup"}]},
        "annotations": annotations
        | {"io.kubernetes.cri.container-type": "container", "io.kubernetes.cri.container-name": container["name"]},
    }


@pytest.mark.parametrize("path", PODS, ids=lambda path: path.stem)
def test_containers_named_main_boot_systemd_and_others_do_not(path: Path) -> None:
    annotations, given = pod(path)
    for container in given["containers"]:
        found = adjust(from_spec(spec(annotations, container), "0" * 64), Settings(), Host())
        assert found.verdict.wanted == (container["name"] == "main")


@pytest.mark.parametrize("path", PODS, ids=lambda path: path.stem)
def test_pods_choose_the_runtime_class(path: Path) -> None:
    (runtime_class,) = documents(FOLDER / "runtimeclass.yaml")
    assert pod(path)[1]["runtimeClassName"] == runtime_class["metadata"]["name"]


def test_runtime_class_names_a_handler_that_install_takes() -> None:
    (runtime_class,) = documents(FOLDER / "runtimeclass.yaml")
    assert Wanted(runtime_class["handler"], "/x", "/y").handler == "systemd"


@pytest.mark.parametrize("path", PODS, ids=lambda path: path.stem)
def test_kubernetes_takes_each_object(path: Path) -> None:
    for each in documents(path):
        kubernetes_validate.validate(each, KUBERNETES, strict=True)


@pytest.mark.parametrize("path", PODS, ids=lambda path: path.stem)
def test_no_probe_enters_a_container_before_one_that_does_not(path: Path) -> None:
    """docs/readiness.md: an exec while systemd boots takes limits from its units."""
    for container in pod(path)[1]["containers"]:
        probes = {kind: container[kind] for kind in container if kind.endswith("Probe")}
        assert not any("exec" in probe for probe in probes.values()) or "tcpSocket" in probes["startupProbe"]
