"""The setting detect.strict on a real containerd: where systemd would exit, a pod's author reads why in the pod's status."""

import time
from collections.abc import Iterator
from dataclasses import replace

import grpc
import pytest

from oci_systemd.nri.serve import FRESH
from tests.cri.client import RUNNING
from tests.e2e.lab.containerd import Containerd
from tests.e2e.lab.images import WAIT
from tests.e2e.lab.pods import INIT, Case, begin, sandbox
from tests.e2e.test_pods_left_alone import KEY, WAITING, host_cgroups

pytestmark = pytest.mark.engine

SETTINGS = "/etc/oci-systemd/config.toml"
LOOKED = FRESH + 0.5  # seconds after which the plugin has looked at its settings again
END = f'or set annotation {KEY} to "false" (the setting detect.strict is true on this node)'

# What each pod says, and what its author reads.
REFUSED = {
    "host-pid": (Case(WAITING, pod={"host_pid": True}), "the container has no private PID namespace"),
    "cgroups-of-the-host": (Case(WAITING, volumes=host_cgroups), "a read-only bind mount from the host"),
    "another-user": (Case(replace(WAITING, run_as_user=1000)), "the user is 1000, not 0"),
}
STARTED = {
    "shell": Case(replace(INIT, command=WAIT), pod={"host_pid": True}),
    "opted-out": Case(WAITING, pod={"host_pid": True, "annotations": {KEY: "false"}}),
}


@pytest.fixture
def strict(engine: Containerd) -> Iterator[Containerd]:
    """The engine's node, whose owner is strict."""
    file = engine.node.path(SETTINGS)
    before = file.read_text() if file.exists() else None
    file.parent.mkdir(exist_ok=True)
    file.write_text(f"{before or ''}[detect]\nstrict = true\n")
    time.sleep(LOOKED if engine.has_plugin else 0)
    yield engine
    file.unlink()
    if before is not None:
        file.write_text(before)
    time.sleep(LOOKED if engine.has_plugin else 0)


def test_a_pods_author_reads_why(strict: Containerd) -> None:
    told = {}
    for title, (case, _) in REFUSED.items():
        if title == "another-user" and strict.has_plugin:
            continue  # NRI shows a container's user from containerd 2.3 on
        with sandbox(strict, title, case) as pod, pytest.raises(grpc.RpcError) as error:
            pod.run(case.container, case.volumes(strict.kubelet, pod.pod))
        told[title] = str(error.value.details())
    for title, said in told.items():
        assert "oci-systemd: " in said, said
        assert REFUSED[title][1] in said
        assert END in said


def test_nothing_else_is_refused(strict: Containerd) -> None:
    for title, case in STARTED.items():
        with begin(strict, title, case).where as pod:
            assert pod.engine.cri.status(pod.ids[-1]).state == RUNNING
