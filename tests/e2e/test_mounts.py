"""Mounts that pods bring along: none is hidden by ours, none of the host's is opened, and systemd boots beside them."""

from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from tests.e2e.lab.container import Container, Spec
from tests.e2e.lab.mounts import at
from tests.e2e.lab.node import Node
from tests.e2e.lab.rootfs import RootFS

pytestmark = pytest.mark.engine

SECRETS = "/var/run/secrets/kubernetes.io/serviceaccount"
TMPFS = ("/run", "/run/lock", "/tmp", "/var/log/journal")


def volume(container: Container, place: str, *options: str, **files: str) -> None:
    """A directory of the node's, with FILES in it, as the last mount: an emptyDir, a secret."""
    name = place.strip("/").replace("/", "-")
    container.files(name).mkdir()
    for file, text in files.items():
        (container.files(name) / file).write_text(text)
    mount(container, place, "bind", f"{container.bundle}/{name}", "rbind", *options)


def mount(container: Container, place: str, kind: str, source: str, *options: str) -> None:
    added = {"destination": place, "type": kind, "source": source, "options": list(options)}
    container.edit(lambda spec: spec["mounts"].append(added))


def booted(container: Container) -> bool:
    container.create_and_start()
    state = container.system_state()
    assert state == "running", (state, container.said)
    return True


def test_a_service_account_token_is_readable(node: Node, image: RootFS) -> None:
    with Container(node, image) as container:
        volume(container, SECRETS, "ro", token="secret")
        assert booted(container)
        assert container.output("cat", f"{SECRETS}/token") == "secret"


LATE_RUN: dict[str, Callable[[Container], None]] = {
    "tmpfs": lambda container: mount(container, "/run", "tmpfs", "tmpfs", "nosuid", "nodev", "mode=755"),
    "bind": lambda container: volume(container, "/run", "rw", mark="kept"),
}


@pytest.mark.parametrize("add", LATE_RUN.values(), ids=LATE_RUN)
def test_a_run_mount_that_comes_last_keeps_run_lock_usable(
    node: Node, image: RootFS, add: Callable[[Container], None]
) -> None:
    with Container(node, image) as container:
        add(container)
        assert booted(container)
        lock = at(container.proc, "/run/lock")
        assert lock and lock.kind == "tmpfs"
        assert (
            container.output("sh", "-c", "echo taken >/run/lock/e2e; cat /run/lock/e2e; stat -c %a /run/lock")
            == "taken\n1777"
        )


VAR_RUN: dict[str, Sequence[str]] = {"alone": (), "after-run-lock": ("/run/lock",), "after-run": ("/run",)}


@pytest.mark.parametrize("before", VAR_RUN.values(), ids=VAR_RUN)
def test_a_mount_at_var_run_boots_and_stays_visible(node: Node, image: RootFS, before: Sequence[str]) -> None:
    with Container(node, image) as container:
        for place in before:
            volume(container, place)
        volume(container, "/var/run", mark="kept")
        assert booted(container)
        assert container.output("cat", "/run/mark") == "kept"


def test_every_tmpfs_is_visible_beside_a_mount_at_var_run(node: Node, image: RootFS) -> None:
    with Container(node, image) as container:
        volume(container, "/var/run")
        assert booted(container)
        kinds = {place: (found := at(container.proc, place)) and found.kind for place in TMPFS[1:]}
        assert kinds == dict.fromkeys(TMPFS[1:], "tmpfs")


def host_cgroup(spec: Spec) -> None:
    """A hostPath volume of the whole hierarchy, read-only, in place of the container's own."""
    spec["mounts"] = [each for each in spec["mounts"] if each["destination"] != "/sys/fs/cgroup"]
    spec["mounts"].append(
        {
            "destination": "/sys/fs/cgroup",
            "type": "bind",
            "source": "/sys/fs/cgroup",
            "options": ["rbind", "rprivate", "ro"],
        }
    )


def host_cgroup_namespace(spec: Spec) -> None:
    spec["linux"]["namespaces"] = [each for each in spec["linux"]["namespaces"] if each["type"] != "cgroup"]


LEFT_ALONE = {"bind-of-the-host": host_cgroup, "no-cgroup-namespace": host_cgroup_namespace}


@pytest.mark.parametrize("change", LEFT_ALONE.values(), ids=LEFT_ALONE)
def test_a_read_only_cgroup_tree_that_is_not_its_own_stays_read_only(
    node: Node, image: RootFS, change: Callable[[Spec], None]
) -> None:
    with Container(node, image) as container:
        container.edit(change)
        before = container.config
        container.create()
        cgroup = at(container.proc, "/sys/fs/cgroup")
        assert container.config == before
        assert cgroup and "ro" in cgroup.options


def read_only(spec: Spec) -> None:
    spec["root"]["readonly"] = True


def test_a_read_only_root_boots(node: Node, image: RootFS) -> None:
    with Container(node, image) as container:
        container.edit(read_only)
        container.create_and_start()
        # Only what must keep state under /var/lib/systemd cannot start.
        assert container.system_state() in ("running", "degraded"), container.said
        failed = container.output("systemctl", "--failed", "--no-legend", "--plain").splitlines()
        assert [each for each in failed if not each.startswith("systemd-logind")] == []
        assert all(at(container.proc, place) for place in TMPFS)
        assert container.exec("touch", "/etc/e2e").returncode != 0


def test_a_read_only_root_with_a_volume_for_state_is_running(node: Node, image: RootFS) -> None:
    with Container(node, image) as container:
        container.edit(read_only)
        volume(container, "/var/lib/systemd")
        assert booted(container)


def test_nothing_stays_on_the_node(node: Node, image: RootFS) -> None:
    with Container(node, image) as container:
        assert booted(container)
    assert not Path(container.files("")).exists()
    assert not node.path(f"/sys/fs/cgroup/{container.id}").exists()
    assert container.id not in node.path("/proc/1/mountinfo").read_text()
