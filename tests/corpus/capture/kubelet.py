"""The directories and mounts that a kubelet gives a container, made without a kubelet.

How to use: a module for the capture scripts and tests. It writes under /var/lib/kubelet, so use it in a node (node.sh).
"""

from pathlib import Path

from cri import Mount, Pod

ROOT = Path("/var/lib/kubelet")
ACCOUNT_DIR = "/var/run/secrets/kubernetes.io/serviceaccount"

# What the kubelet tells every container of a cluster whose API server is at 10.96.0.1.
ENVIRONMENT = {
    "KUBERNETES_SERVICE_HOST": "10.96.0.1",
    "KUBERNETES_SERVICE_PORT": "443",
    "KUBERNETES_SERVICE_PORT_HTTPS": "443",
    "KUBERNETES_PORT": "tcp://10.96.0.1:443",
    "KUBERNETES_PORT_443_TCP": "tcp://10.96.0.1:443",
    "KUBERNETES_PORT_443_TCP_PROTO": "tcp",
    "KUBERNETES_PORT_443_TCP_PORT": "443",
    "KUBERNETES_PORT_443_TCP_ADDR": "10.96.0.1",
}


def pod_directory(pod: Pod) -> Path:
    """Where the kubelet keeps a pod."""
    return ROOT / "pods" / pod.uid


def own_mounts(pod: Pod, container: str) -> list[Mount]:
    """The mounts that every container gets, behind those it names."""
    hosts = pod_directory(pod) / "etc-hosts"
    log = pod_directory(pod) / "containers" / container / "0a1b2c3d"
    _write(hosts, "127.0.0.1\tlocalhost\n")
    _write(log, "")
    return [Mount("/etc/hosts", str(hosts)), Mount("/dev/termination-log", str(log))]


def empty_dir(pod: Pod, name: str, path: str) -> Mount:
    """An emptyDir volume."""
    volume = pod_directory(pod) / "volumes" / "kubernetes.io~empty-dir" / name
    volume.mkdir(parents=True)
    return Mount(path, str(volume))


def service_account(pod: Pod) -> Mount:
    """The token of the pod's service account."""
    volume = pod_directory(pod) / "volumes" / "kubernetes.io~projected" / "kube-api-access-x2x4z"
    for name in ("ca.crt", "namespace", "token"):
        _write(volume / name, name)
    return Mount(ACCOUNT_DIR, str(volume), readonly=True)


def _write(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
