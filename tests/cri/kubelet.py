"""The directories and mounts that a kubelet gives a container, made without a kubelet.

Law: the engine gets a path of its node; the files are written at that path below `root`, where the node's files are.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from tests.cri.pod import Container, Mount, Pod

PODS = Path("/var/lib/kubelet/pods")
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


@dataclass(frozen=True)
class Kubelet:
    """The kubelet of a node."""

    root: Path = Path("/")

    def own_mounts(self, pod: Pod, container: str) -> list[Mount]:
        """The mounts that every container gets, behind those it names."""
        hosts = PODS / pod.uid / "etc-hosts"
        log = PODS / pod.uid / "containers" / container / "0a1b2c3d"
        self.write(hosts, "127.0.0.1\tlocalhost\n")
        self.write(log, "")
        return [Mount("/etc/hosts", str(hosts)), Mount("/dev/termination-log", str(log))]

    def empty_dir(self, pod: Pod, name: str, path: str, **files: str) -> Mount:
        """An emptyDir volume; FILES are in it as if another container had written them."""
        volume = PODS / pod.uid / "volumes" / "kubernetes.io~empty-dir" / name
        self.inside(volume).mkdir(parents=True)
        self.inside(volume).chmod(0o777)
        for file, text in files.items():
            self.write(volume / file, text)
        return Mount(path, str(volume))

    def service_account(self, pod: Pod) -> Mount:
        """The token of the pod's service account."""
        volume = PODS / pod.uid / "volumes" / "kubernetes.io~projected" / "kube-api-access-x2x4z"
        for name in ("ca.crt", "namespace", "token"):
            self.write(volume / name, name)
        return Mount(ACCOUNT_DIR, str(volume), readonly=True)

    def secret(self, pod: Pod, path: str, time: str, files: Mapping[str, str]) -> Mount:
        """A Secret volume with the version of TIME."""
        return Mount(path, str(self.written(pod, "secret", "secret", time, files)), readonly=True)

    def written(self, pod: Pod, kind: str, name: str, time: str, files: Mapping[str, str]) -> Path:
        """The volume of a Secret or ConfigMap with the version of TIME.

        Its files are links by way of `..data`, which one rename changes.
        """
        volume = PODS / pod.uid / "volumes" / f"kubernetes.io~{kind}" / name
        for file, text in files.items():
            self.write(volume / f"..{time}" / file, text)
            if not self.inside(volume / file).is_symlink():
                self.inside(volume / file).symlink_to(f"..data/{file}")
        self.inside(volume / "..data_tmp").symlink_to(f"..{time}")
        self.inside(volume / "..data_tmp").rename(self.inside(volume / "..data"))
        return volume

    def log(self, pod: Pod, container: Container) -> Path:
        """A container's log, in a directory that is there."""
        path = self.inside(Path(pod.log_directory, container.log_path))
        path.parent.mkdir(parents=True, exist_ok=True)
        return path

    def inside(self, path: Path) -> Path:
        """Where the node's PATH is from here."""
        return self.root / path.relative_to("/")

    def write(self, path: Path, text: str) -> None:
        """Write a file of the node."""
        self.inside(path).parent.mkdir(parents=True, exist_ok=True)
        self.inside(path).write_text(text)
