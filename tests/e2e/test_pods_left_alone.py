"""Pods that get nothing, and pods that are refused: an unwanted pod runs unmodified, and a refused one gets the reason."""

import json
from collections.abc import Iterator
from dataclasses import dataclass, replace

import grpc
import pytest

from tests.cri.kubelet import Kubelet
from tests.cri.pod import Mount, Pod
from tests.e2e.conftest import BY_WRAPPER, ENGINES
from tests.e2e.lab.containerd import Containerd
from tests.e2e.lab.images import ENTRYPOINT, WAIT, WAITING_INIT, name
from tests.e2e.lab.pods import INIT, Case, Guest, begin, sandbox

pytestmark = pytest.mark.engine

KEY = "io.systemd.container"
ADJUSTED = f"{KEY}.adjusted"
ASKED = {"annotations": {KEY: "true"}}
# It looks like systemd, and waits where systemd would not live.
WAITING = replace(INIT, command=[WAITING_INIT])
BUSYBOX = replace(INIT, image=name("busybox"))


def host_cgroups(kubelet: Kubelet, pod: Pod) -> list[Mount]:
    return [Mount("/sys/fs/cgroup", "/sys/fs/cgroup", readonly=True)]


LEFT_ALONE = {
    "shell": Case(replace(INIT, command=WAIT)),
    "busybox-init": Case(replace(BUSYBOX, command=["/sbin/init"])),
    "opted-out": Case(WAITING, pod={"annotations": {KEY: "false"}}),
    "opted-out-by-name": Case(WAITING, pod={"annotations": {KEY: "true", f"{KEY}/main": "false"}}),
    "named-another": Case(replace(INIT, command=WAIT), pod={"annotations": {f"{KEY}/other": "true"}}),
    "host-pid": Case(WAITING, pod={"host_pid": True}),
    "cgroups-of-the-host": Case(WAITING, volumes=host_cgroups),
    "relative": Case(replace(INIT, command=["bin/init"], working_dir="/app")),
}


SEES_THE_ROOT = "busybox-init"
each_of_them = pytest.mark.parametrize(
    ("engine", "left_alone"),
    [(engine, case) for engine in ENGINES for case in LEFT_ALONE if engine in BY_WRAPPER or case != SEES_THE_ROOT],
    indirect=True,
)


@pytest.fixture(scope="module")
def left_alone(request: pytest.FixtureRequest, engine: Containerd) -> Iterator[Guest]:
    guest = begin(engine, request.param, LEFT_ALONE[request.param])
    with guest.where:
        yield guest


@each_of_them
def test_it_gets_what_containerd_described(left_alone: Guest) -> None:
    assert ADJUSTED not in left_alone.given["annotations"]
    assert left_alone.given == left_alone.described


@each_of_them
def test_it_runs(left_alone: Guest) -> None:
    assert left_alone.is_running()
    assert left_alone.output("/bin/sh", "-c", "echo here") == "here"


@each_of_them
def test_it_cannot_write_any_cgroup(left_alone: Guest) -> None:
    assert "Read-only file system" in left_alone.output("/bin/sh", "-c", "mkdir /sys/fs/cgroup/e2e")


def test_its_twin_that_looks_like_systemd_is_served(engine: Containerd) -> None:
    guest = begin(engine, "served", Case(WAITING))
    with guest.where:
        assert ADJUSTED in guest.given["annotations"]
        assert guest.output("/bin/sh", "-c", "mkdir /sys/fs/cgroup/e2e && echo made") == "made"


# What a pod's author may write, to be taken for another.
FORGED = {
    "io.kubernetes.cri.sandbox-name": "etcd-master",
    "io.kubernetes.cri.sandbox-namespace": "kube-system",
    "io.kubernetes.cri-o.ContainerType": "container",
    "io.kubernetes.pod.name": "etcd-master",
    "io.kubernetes.pod.namespace": "kube-system",
}


def test_the_log_has_the_pods_own_name(engine: Containerd) -> None:
    guest = begin(engine, "honest", Case(replace(INIT, annotations=FORGED), pod={"annotations": FORGED}))
    with guest.where:
        lines = [line for line in engine.told().splitlines() if guest.id in line]
        expected = 2 if engine.has_plugin else 1  # the plugin also reports the missing stop signal
        assert [json.loads(line)["pod"] for line in lines] == ["default/honest"] * expected


def test_one_container_of_two_is_served_by_its_name(engine: Containerd) -> None:
    with sandbox(engine, "pair", Case(pod={"annotations": {f"{KEY}/main": "true"}})) as pod:
        sidecar = pod.run(replace(INIT, name="sidecar", command=WAIT))
        main = pod.run(replace(INIT, name="main", command=[ENTRYPOINT]))
        assert main.system_state() == "running"
        assert sidecar.given == sidecar.described
        assert sidecar.is_running()


@pytest.mark.parametrize("engine", BY_WRAPPER, indirect=True)
def test_systemd_does_not_live_under_the_plain_handler(engine: Containerd) -> None:
    guest = begin(engine, "plain", Case(pod={"handler": "runc"}))
    with guest.where:
        assert guest.wait_exited()
        assert guest.status.exit_code == 255


@dataclass(frozen=True)
class Refused(Case):
    """A pod whose container is not created, and all that is said about it."""

    says: tuple[str, ...] = ()


REFUSED = {
    "wrong-value": Refused(pod={"annotations": {KEY: "yes"}}, says=(KEY, "'yes'", '"true", "false" or "auto"')),
    "wrong-value-by-name": Refused(pod={"annotations": {f"{KEY}/main": "on"}}, says=(f"{KEY}/main", "'on'")),
    "two-mistakes": Refused(
        pod={"annotations": {f"{KEY}.tmpfs": "run", f"{KEY}.machine-id": "host"}},
        says=(f"{KEY}.tmpfs", f"{KEY}.machine-id"),
    ),
    "tmpfs-over-proc": Refused(pod={"annotations": {f"{KEY}.tmpfs": "/run,/proc/sys"}}, says=("/proc/sys",)),
    "not-allowed": Refused(pod={"annotations": {f"{KEY}.apparmor": "unconfined"}}, says=("security.allow",)),
    "no-systemd-signal": Refused(pod={"annotations": {f"{KEY}.stop-signal": "SIGWHAT"}}, says=("SIGWHAT",)),
    "cgroups-of-the-host": Refused(WAITING, ASKED, host_cgroups, says=("/sys/fs/cgroup",)),
    "host-pid": Refused(WAITING, ASKED | {"host_pid": True}, says=("PID namespace",)),
}


@pytest.mark.parametrize("case", REFUSED.values(), ids=REFUSED)
def test_creation_fails_with_our_sentence(engine: Containerd, case: Refused) -> None:
    with sandbox(engine, "refused", case) as pod, pytest.raises(grpc.RpcError) as error:
        pod.run(case.container, case.volumes(engine.kubelet, pod.pod))
    said = str(error.value.details())
    assert [each for each in ("oci-systemd: ", *case.says) if each not in said] == [], said
