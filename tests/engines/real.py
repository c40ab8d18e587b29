"""Real configurations: what each is, which engines read it, and the expected result.

The files are in `configurations`, each below a folder that is a root. They have the keys and the layout of what the named
projects write (kind, minikube, kubespray, EKS, AKS, GKE, Bottlerocket, NVIDIA's toolkit and operator, kata-deploy, k3s, k0s,
microk8s, CRI-O's packages, OpenShift, Docker's documents), cut to what matters here and in words of our own, and there are those
in which faults were found.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.engines.build import MAINS

FOLDER = Path(__file__).parent / "configurations"
OLD, NEW = "1.7.24", "2.1.9"
BOTH = (OLD, NEW)
NVIDIA = "/usr/bin/nvidia-container-runtime"
K3S = "/var/lib/rancher/k3s/agent/etc/containerd/config.toml"
SYSTEMD = {"SystemdCgroup": True}


@dataclass(frozen=True)
class Case:
    """One configuration: the versions of its engine that read it, and `main`, its main file where it is not the usual one.

    `options`: what our handler of containerd has beside its program; `table`: what else it has of the default handler.
    `behind`: the program of the node's default handler, "" where nothing is said. `written`: the files that change. `refused` and
    `as_default`: the message if no handler, or no default handler, is possible.
    """

    engine: str = "containerd"
    versions: tuple[str, ...] = ("",)
    main: str = ""
    options: dict[str, Any] = field(default_factory=lambda: dict(SYSTEMD))
    table: dict[str, Any] = field(default_factory=dict)
    behind: str = ""
    written: tuple[str, ...] = ("/etc/containerd/config.toml",)
    refused: str = ""
    as_default: str = ""


def files(name: str) -> dict[str, str]:
    """The files of a configuration by their paths, to the byte."""
    root = FOLDER / name
    return {
        f"/{path.relative_to(root)}": path.read_bytes().decode() for path in sorted(root.rglob("*")) if path.is_file()
    }


def main_of(case: Case) -> str:
    return case.main or MAINS[case.engine]


SPEC = {"base_runtime_spec": "/etc/containerd/cri-base.json"}
EKS_SPEC = {"base_runtime_spec": "/etc/containerd/base-runtime-spec.json"}
MAIN = "/etc/containerd/config.toml"
DROP_IN = "/etc/containerd/conf.d/50-oci-systemd.toml"
ANEW = (MAIN, DROP_IN)
DAEMON = ("/etc/docker/daemon.json",)
CRIO = ("/etc/crio/crio.conf.d/50-oci-systemd.conf",)
MICROK8S = "/var/snap/microk8s/current/args/containerd-template.toml"

CASES: dict[str, Case] = {
    "kind-1.7": Case(versions=BOTH, table=SPEC),
    "kind-2.1": Case(versions=(NEW,), table=SPEC, written=ANEW),
    "minikube": Case(versions=BOTH, options={}),
    "kubeadm-docs": Case(versions=BOTH),
    "ubuntu-image-builder": Case(versions=BOTH),
    "eks-al2": Case(versions=BOTH),
    "eks-al2-own-file": Case(versions=(NEW,)),
    "eks-al2023-gpu": Case(versions=BOTH, table=EKS_SPEC, behind=NVIDIA),
    "eks-al2023-containerd-2": Case(versions=(NEW,), table=EKS_SPEC, behind=NVIDIA, written=ANEW),
    "aks": Case(versions=BOTH, behind="/usr/sbin/runc"),
    "aks-gpu": Case(versions=BOTH, behind=NVIDIA),
    "aks-kata": Case(versions=BOTH, behind="/usr/sbin/runc"),
    "gke-cos": Case(versions=BOTH),
    "bottlerocket": Case(versions=BOTH, table=SPEC, behind="shimpei"),
    "gpu-operator-in-place": Case(versions=BOTH, behind=NVIDIA),
    "gpu-operator-drop-in-1.7": Case(
        versions=(OLD,), behind=NVIDIA, written=("/etc/containerd/conf.d/99-nvidia.toml",)
    ),
    "gpu-operator-drop-in-2": Case(versions=(NEW,), behind=NVIDIA, written=(DROP_IN,)),
    "kata-deploy": Case(versions=(NEW,), written=ANEW),
    "kubespray": Case(versions=BOTH, options={"systemdCgroup": True}, table=SPEC, behind="/usr/sbin/runc"),
    "kubespray-2": Case(versions=(NEW,), table=SPEC, behind="/usr/sbin/runc", written=ANEW),
    "talos": Case(
        versions=(NEW,),
        options={},
        table={"base_runtime_spec": "/etc/cri/conf.d/base-spec.json"},
        written=("/etc/cri/conf.d/50-oci-systemd.toml",),
    ),
    "stargz": Case(versions=BOTH, table={"snapshotter": "stargz"}),
    "gvisor-docs": Case(versions=BOTH, options={}),
    "oke": Case(versions=BOTH, behind="/usr/sbin/runc"),
    "old-version-1": Case(versions=(OLD,)),
    "docker-package": Case(versions=BOTH, refused="disables containerd's CRI plugin"),
    "windows-editor": Case(versions=(OLD,)),
    "windows-lines": Case(versions=(NEW,), written=ANEW),
    "k3s-drop-ins": Case(
        versions=(NEW,),
        main=K3S,
        written=("/var/lib/rancher/k3s/agent/etc/containerd/config-v3.toml.d/50-oci-systemd.toml",),
    ),
    "k3s-template": Case(versions=(OLD,), main=K3S, written=(f"{K3S}.tmpl",), as_default="default-runtime: systemd"),
    "microk8s": Case(versions=BOTH, main=MICROK8S, options={}, written=(MICROK8S,)),
    "k0s": Case(
        versions=(NEW,),
        main="/etc/k0s/containerd.toml",
        options={},
        written=("/etc/k0s/containerd.d/50-oci-systemd.toml",),
    ),
    # Those in which faults were found
    "model-from-discarded-table": Case(
        versions=(OLD,), options={}, written=("/etc/containerd/conf.d/registries.toml",)
    ),
    "v2-main-v3-dropin": Case(versions=(NEW,), options={}, written=(DROP_IN,)),
    "default-handler-driver": Case(versions=(NEW,), behind="/usr/bin/gpu-runtime", written=ANEW),
    "dangling-import": Case(versions=BOTH, refused="imports '/opt/gone/other.toml', which does not exist"),
    # Docker
    "daemon-json-bom": Case("docker", written=DAEMON),
    "docker-empty": Case("docker", written=DAEMON),
    "docker-null": Case("docker", written=DAEMON),
    "docker-nvidia": Case("docker", written=DAEMON),
    "docker-nvidia-default": Case("docker", behind=NVIDIA, written=DAEMON),
    "docker-kubernetes": Case("docker", written=DAEMON),
    "docker-site": Case("docker", written=DAEMON),
    "docker-gvisor": Case(
        "docker", behind="/usr/bin/true", table={"runtimeArgs": ["--platform=systrap"]}, written=DAEMON
    ),
    # CRI-O
    "crio-packaged": Case("crio", behind="/usr/libexec/crio/crun", written=CRIO),
    "crio-openshift": Case("crio", behind="crun", written=CRIO),
    "crio-minikube": Case("crio", behind="crun", written=CRIO),
    "crio-nvidia": Case(
        "crio", behind=NVIDIA, written=CRIO, as_default="99-nvidia.conf: sets the default runtime to 'nvidia'"
    ),
    "crio-kata": Case("crio", behind="crun", written=CRIO),
}
RUNS = {f"{name} {version}".strip(): (name, version) for name, case in CASES.items() for version in case.versions}
