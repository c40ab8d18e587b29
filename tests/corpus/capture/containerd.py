"""Capture the config.json files that containerd writes for a kubelet's pods.

    node.sh NODE LAB env PYTHONPATH=/lab:/lab/python python3 -m tests.corpus.capture.containerd /lab /lab/raw/ENGINE [CASE...]

In a node with containerd and runc on cgroup v2; PYTHONPATH names these tests, and grpcio and protobuf for the node's
Python. The first argument is the directory with the archives that images.py wrote, the second gets CASE.json and
names.txt for normalise.py; its last part is the engine's name in the corpus. With CASE only these; `selinux` and
`apparmor` are left out where the kernel has neither.
"""

import sys
from collections.abc import Callable, Mapping
from contextlib import closing, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import grpc

from tests.corpus.capture.images import VOLUMES
from tests.corpus.capture.record import APPARMOR, SELINUX, WORK, Recorder, daemon, fictional_uid, run
from tests.cri.client import Cri
from tests.cri.kubelet import ENVIRONMENT, Kubelet
from tests.cri.network import write_network
from tests.cri.pod import RUNTIME_DEFAULT, Container, Limits, Mount, Pod, Profile, SELinux

SOCKET = "/run/containerd/containerd.sock"
KEY = "io.systemd.container"
KUBELET = Kubelet()
SYSTEMD = ("/lib/systemd/systemd",)
SYSTEMD_ARGS = ("--system", "--unit=multi-user.target", "--log-target=console", "--log-level=debug")

# A version 2 file is what 1.7 reads. Its cgroup driver is cgroupfs, that of 2.1 systemd, so that there are both.
CONFIG_1_7 = """
version = 2
[plugins."io.containerd.grpc.v1.cri"]
  sandbox_image = "docker.io/example/pause:1"
  enable_selinux = {selinux}
  [plugins."io.containerd.grpc.v1.cri".cni]
    bin_dir = "{work}/cni/bin"
    conf_dir = "{work}/cni/conf"
  [plugins."io.containerd.grpc.v1.cri".containerd]
    snapshotter = "overlayfs"
    default_runtime_name = "systemd"
    [plugins."io.containerd.grpc.v1.cri".containerd.runtimes.systemd]
      runtime_type = "io.containerd.runc.v2"
      pod_annotations = ["io.systemd.*", "io.systemd.*/*"]
      [plugins."io.containerd.grpc.v1.cri".containerd.runtimes.systemd.options]
        BinaryName = "{runtime}"
"""
CONFIG_2 = """
version = 3
[plugins."io.containerd.cri.v1.images"]
  snapshotter = "overlayfs"
  [plugins."io.containerd.cri.v1.images".pinned_images]
    sandbox = "docker.io/example/pause:1"
[plugins."io.containerd.cri.v1.runtime"]
  enable_selinux = {selinux}
  [plugins."io.containerd.cri.v1.runtime".cni]
    bin_dirs = ["{work}/cni/bin"]
    conf_dir = "{work}/cni/conf"
  [plugins."io.containerd.cri.v1.runtime".containerd]
    default_runtime_name = "systemd"
  [plugins."io.containerd.cri.v1.runtime".containerd.runtimes.systemd]
    runtime_type = "io.containerd.runc.v2"
    pod_annotations = ["io.systemd.*", "io.systemd.*/*"]
    [plugins."io.containerd.cri.v1.runtime".containerd.runtimes.systemd.options]
      BinaryName = "{runtime}"
      SystemdCgroup = true
  [plugins."io.containerd.cri.v1.runtime".containerd.runtimes.cgroup-writable]
    runtime_type = "io.containerd.runc.v2"
    pod_annotations = ["io.systemd.*", "io.systemd.*/*"]
    cgroup_writable = true
    [plugins."io.containerd.cri.v1.runtime".containerd.runtimes.cgroup-writable.options]
      BinaryName = "{runtime}"
      SystemdCgroup = true
"""


@dataclass(frozen=True)
class Case:
    """A pod to run: for every container of it, the name of the file that its config.json becomes."""

    containers: Mapping[str, Container]
    volumes: Callable[[Pod], list[Mount]] = lambda pod: []
    pod: Mapping[str, Any] = field(default_factory=dict)
    newer: bool = False
    """Needs containerd 2.1."""
    needs: Path = Path("/")
    """Needs this file."""

    @property
    def name(self) -> str:
        """The first file's name."""
        return next(iter(self.containers))


def one(name: str, container: Container | None = None, **options: Any) -> Case:
    """A case of one container."""
    return Case({name: container or Container()}, **options)


def empty_dir(name: str, path: str) -> Case:
    """systemd with an emptyDir volume."""
    return one(name, volumes=lambda pod: [KUBELET.empty_dir(pod, "scratch", path)])


def cgroup_bind(readonly: bool) -> Callable[[Pod], list[Mount]]:
    """The host's cgroup tree as a hostPath volume."""
    return lambda pod: [Mount("/sys/fs/cgroup", "/sys/fs/cgroup", readonly)]


CASES = [
    one("systemd"),
    one("shell", Container(command=("/bin/sh", "-c", "sleep 3600"))),
    one("privileged", pod={"privileged": True}),
    one("service-account", volumes=lambda pod: [KUBELET.service_account(pod)]),
    empty_dir("emptydir-run", "/run"),
    empty_dir("emptydir-var-run", "/var/run"),
    empty_dir("emptydir-run-lock", "/run/lock"),
    one("volume", Container(image="docker.io/example/systemd-volume:1")),
    one("cgroup-volume", Container(image="docker.io/example/systemd-cgroup-volume:1")),
    one("cgroup-bind", volumes=cgroup_bind(readonly=True)),
    one("cgroup-bind-rw", volumes=cgroup_bind(readonly=False)),
    one("read-only-root", Container(readonly_root=True)),
    one(
        "example",
        Container(command=SYSTEMD, args=SYSTEMD_ARGS, tty=True, seccomp=Profile(RUNTIME_DEFAULT)),
        volumes=lambda pod: [KUBELET.service_account(pod)],
    ),
    one("annotated", Container(command=("/entrypoint.sh",)), pod={"annotations": {KEY: "true"}}),
    one("opted-out", pod={"annotations": {KEY: "false"}}),
    one("host-pid", pod={"host_pid": True}),
    Case(
        {
            "pair-main": Container(command=("/entrypoint.sh",)),
            "pair-sidecar": Container("sidecar", command=("/bin/sh", "-c", "sleep 3600")),
        },
        volumes=lambda pod: [KUBELET.service_account(pod)],
        pod={"annotations": {f"{KEY}/main": "true"}},
    ),
    one("run-as-user", Container(run_as_user=1000)),
    one("user-namespace", pod={"user_namespace": 65536 * 8, "host_network": False}, newer=True),
    one("cgroup-writable", pod={"handler": "cgroup-writable"}, newer=True),
    one("recursive-read-only", volumes=lambda pod: [Mount("/data", "/srv", True, True)], newer=True),
    one(
        "selinux",
        pod={"selinux": SELinux(type="container_t", level="s0:c123,c456")},
        needs=SELINUX,
    ),
    one("apparmor", Container(apparmor=Profile(RUNTIME_DEFAULT)), needs=APPARMOR),
]


def make_pod(case: Case, engine: str, systemd_driver: bool) -> Pod:
    """The pod of a case."""
    uid = fictional_uid(engine, case.name)
    if not systemd_driver:
        parent = f"/kubepods/burstable/pod{uid}"
    else:
        slices = ("kubepods", "kubepods-burstable", f"kubepods-burstable-pod{uid.replace('-', '_')}")
        parent = "".join(f"/{name}.slice" for name in slices)
    options: dict[str, Any] = {"handler": "systemd", "limits": Limits(), **case.pod}
    return Pod(case.name, uid=uid, cgroup_parent=parent, **options)


def make_container(case: Case, pod: Pod, container: Container) -> Container:
    """A container with what the kubelet adds to it."""
    fields = {name: getattr(container, name) for name in container.__dataclass_fields__}
    fields["mounts"] = [*case.volumes(pod), *KUBELET.own_mounts(pod, container.name)]
    fields["environment"] = ENVIRONMENT
    fields["limits"] = Limits()
    fields["selinux"] = pod.selinux
    return Container(**fields)


def capture(case: Case, cri: Cri, recorder: Recorder, systemd_driver: bool) -> None:
    """Run a case's pod and keep its files; those of the first case give the sandbox's, too."""
    pod = make_pod(case, recorder.engine, systemd_driver)
    pod_id = cri.run_pod(pod)
    recorder.name(pod_id, case.name, "sandbox")
    if case is CASES[0]:
        recorder.keep(pod_id, "sandbox")
    try:
        for file, container in case.containers.items():
            container_id = cri.create(pod_id, pod, make_container(case, pod, container))
            with suppress(grpc.RpcError):
                cri.start(container_id)
            recorder.keep(container_id, file)
    finally:
        cri.remove_pod(pod_id)


def write_config(newer: bool, runtime: Path) -> Path:
    """Write containerd's configuration and the network's."""
    write_network(WORK / "cni/bin", WORK / "cni/conf")
    template = CONFIG_2 if newer else CONFIG_1_7
    selinux = str(SELINUX.exists()).lower()
    config = WORK / "config.toml"
    config.write_text(template.format(work=WORK, runtime=runtime, selinux=selinux))
    return config


def main() -> None:
    """Capture the cases."""
    if len(sys.argv) < 3:
        sys.exit(__doc__)
    archives, raw = map(Path, sys.argv[1:3])
    wanted = sys.argv[3:]
    version = run("containerd", "--version").split()[2].lstrip("v")
    newer = not version.startswith("1.")
    with (
        closing(Recorder(raw)) as recorder,
        daemon("containerd", "-c", str(write_config(newer, recorder.runtime))),
    ):
        cri = Cri(SOCKET)
        print("containerd", cri.wait_ready())
        for name in ("pause", "systemd", *VOLUMES):
            archive = str(archives / f"{name}.tar")
            run("ctr", "-n", "k8s.io", "images", "import", "--snapshotter", "overlayfs", "--local", archive)
        for case in CASES:
            possible = (newer or not case.newer) and case.needs.exists()
            if case.name in wanted or (possible and not wanted):
                capture(case, cri, recorder, systemd_driver=newer)


if __name__ == "__main__":
    main()
