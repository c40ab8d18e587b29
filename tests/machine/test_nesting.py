"""Containers in a pod that asks for a writable cgroup tree and for little else: podman in it runs one, with limits of its own."""

from collections.abc import Iterator

import pytest

from tests.documents import SOURCE, blocks
from tests.machine.lab.engines import WRAPPERS
from tests.machine.lab.pods import Kubelet, PodGuest, Rights

pytestmark = pytest.mark.engine

HANDLER = WRAPPERS["runc"]
WAIT = ("sleep", "100000")
# With less podman says: `cannot write uid_map` (SETUID and SETGID, SETFCAP), `cannot clone` (seccomp RuntimeDefault, AppArmor),
# `crun: mount proc to proc` (masked /proc), `fuse: device not found` (an overlay can lie on no other overlay).
LEAST = Rights(
    drop=["ALL"],
    add=["SETUID", "SETGID", "SETFCAP"],
    proc_mount="Unmasked",
    apparmor="Unconfined",
    seccomp="Unconfined",
    volumes={"/var/lib/containers": "/var/lib/kubelet/emptydir"},
)
# A cgroup hands controllers down only when no process is left in it itself (cgroup v2, "no internal processes").
MOVE = blocks(SOURCE / "docs/nesting.md")[0]
IMPORT = """mkdir -p /inner/bin; cp /usr/bin/busybox /inner/bin/sh; ln -s sh /inner/bin/cat
tar -C /inner -c . | podman import --quiet - inner"""
RUN = "podman run --rm --network=none --memory=50m inner sh -c 'cat /proc/self/cgroup /sys/fs/cgroup/memory.max'"


@pytest.fixture(scope="module")
def guest(kubelet: Kubelet) -> Iterator[PodGuest]:
    with kubelet.pod(HANDLER, "podman", *WAIT, rights=LEAST, cgroup="rw") as guest:
        yield guest


def done(guest: PodGuest, script: str) -> str:
    ended = guest.run("sh", "-ec", script)
    assert ended.returncode == 0, ended.stderr
    return ended.stdout


def test_it_moves_into_a_leaf_and_hands_controllers_down(guest: PodGuest) -> None:
    done(guest, MOVE)
    assert {"cpu", "memory", "pids"} <= set(done(guest, "cat /sys/fs/cgroup/cgroup.subtree_control").split())


def test_podman_in_it_runs_a_container_with_a_limit(guest: PodGuest) -> None:
    done(guest, IMPORT)
    assert done(guest, RUN).split() == ["0::/", str(50 << 20)]


def test_systemds_own_mounts_and_names_are_not_given(guest: PodGuest) -> None:
    assert "container_uuid" not in done(guest, "tr '\\0' '\\n' </proc/1/environ")
    assert " /tmp tmpfs " not in done(guest, "cat /proc/mounts")


def test_without_the_annotation_the_tree_is_read_only(kubelet: Kubelet) -> None:
    with kubelet.pod(HANDLER, "podman", *WAIT, rights=LEAST) as guest:
        assert "Read-only file system" in guest.run("mkdir", "/sys/fs/cgroup/leaf").stderr
