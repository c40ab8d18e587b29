"""Use of a node's limits: counted over /proc, estimated where processes are hidden, and the messages about it."""

from __future__ import annotations

import ctypes
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from oci_systemd.host import kubernetes, limits
from oci_systemd.host.limits import FILES, INSTANCES, KEYS, PIDS, WATCHES, Limit
from oci_systemd.installation import checks
from oci_systemd.installation.checks import EACH, FEW, NODE, PASS, WARN
from tests.shells.test_cli_install import config
from tests.shells.test_cli_install import root as root

LIBC = ctypes.CDLL(None, use_errno=True)
SYSCTLS = {INSTANCES: 128, WATCHES: 1000, PIDS: 4000, FILES: 90000, KEYS: 1000000}


@pytest.fixture
def proc(tmp_path: Path) -> Path:
    """A node's /proc without a process."""
    for name, value in SYSCTLS.items():
        config(limits.place(tmp_path, name), f"{value}\n")
    config(tmp_path / "loadavg", "0.20 0.18 0.12 1/800 11206\n")
    config(tmp_path / "sys/fs/file-nr", "1584\t0\t90000\n")
    config(tmp_path / "key-users", "    0:   112 112/112 90/1000000 200/25000000\n 1000:  2 2/2 2/200 28/20000\n")
    return tmp_path


def process(proc: Path, pid: int, instances: int = 0, *, user: int = 0, name: str = "x", inner: str = "") -> Path:
    """A process with inotify instances of two watches each."""
    uid = f"Uid:\t{user}\t{user}\t{user}\t{user}\n"
    config(proc / f"{pid}/status", f"Name:\t{name}\n{uid}NSpid:\t{pid}{inner}\n")
    (proc / f"{pid}/fd").mkdir()
    (proc / f"{pid}/fd/0").symlink_to("/dev/null")
    for number in range(3, 3 + instances):
        (proc / f"{pid}/fd/{number}").symlink_to("anon_inode:inotify")
        config(proc / f"{pid}/fdinfo/{number}", "pos:\t0\ninotify wd:1 ino:1\ninotify wd:2 ino:2\n")
    return proc / str(pid)


def found(proc: Path) -> dict[str, Limit]:
    return {each.name: each for each in limits.limits(proc, EACH[INSTANCES], NODE)}


def test_root_s_instances_and_watches_are_counted(proc: Path) -> None:
    process(proc, 1, 2)
    process(proc, 7, 1)
    process(proc, 8, 5, user=1000)
    process(proc, 9)
    used = {name: (each.value, each.used, each.estimated) for name, each in found(proc).items()}
    assert used == {
        INSTANCES: (128, 3, False),
        WATCHES: (1000, 6, False),
        PIDS: (4000, 800, False),
        FILES: (90000, 1584, False),
        KEYS: (1000000, 90, False),
    }


def test_what_cannot_be_looked_into_is_estimated_by_the_systemds_there_are(
    proc: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An installer's pod has no CAP_SYS_PTRACE, and /proc/PID/status is everybody's."""
    process(proc, 1, 2, name="systemd")
    for pid in (70, 71):
        process(proc, pid, 5, name="systemd", inner="\t1")
    process(proc, 80, name="systemd", inner="\t44")  # a user's manager
    listed = Path.iterdir

    def iterdir(path: Path) -> Iterator[Path]:
        if path.name == "fd":
            raise PermissionError(13, "Permission denied", str(path))
        return listed(path)

    monkeypatch.setattr(Path, "iterdir", iterdir)
    assert found(proc)[INSTANCES] == Limit(INSTANCES, 128, NODE + 2 * EACH[INSTANCES], estimated=True)
    assert WATCHES not in found(proc)


def test_a_process_that_ends_meanwhile_counts_for_nothing(proc: Path) -> None:
    config(proc / "7/status", "Name:\tx\nUid:\t0\t0\t0\t0\n")
    assert found(proc)[INSTANCES].used == 0


def test_a_kernel_without_a_limit_has_none(proc: Path) -> None:
    limits.place(proc, KEYS).unlink()
    assert KEYS not in found(proc)


def test_real_instances_are_seen() -> None:
    fds = [LIBC.inotify_init1(os.O_CLOEXEC) for _ in range(2)]
    try:
        assert min(fds) >= 0
        before = sorted(limits._inotify(Path("/proc/self")))
        assert LIBC.inotify_add_watch(fds[0], b"/tmp", 2) > 0
        assert sorted(limits._inotify(Path("/proc/self"))) == sorted([*before, 1])[1:]
    finally:
        for fd in fds:
            os.close(fd)


def said(*given: Limit) -> list[tuple[str, str]]:
    return [(each.status, each.said) for each in checks.limits(given)]


def test_the_tightest_limit_says_how_many_more_fit() -> None:
    roomy = Limit(INSTANCES, 8192, 43), Limit(PIDS, 4194304, 400)
    room = (8192 - 43) // EACH[INSTANCES]
    assert said(*roomy) == [
        (PASS, f"room for some {room} more systemd containers, by fs.inotify.max_user_instances (8192, 43 are in use)")
    ]


def test_each_limit_that_leaves_little_room_is_told() -> None:
    few = Limit(INSTANCES, 128, 43), Limit(KEYS, 200, 199), Limit(PIDS, 4194304, 400)
    room = (128 - 43) // EACH[INSTANCES]
    assert said(*few) == [
        (WARN, f"{INSTANCES} is 128, and 43 are in use: room for some {room} more systemd containers"),
        (WARN, f"{KEYS} is 200, and 199 are in use: room for some 0 more systemd containers"),
    ]
    assert [each.remedy for each in checks.limits(few)] == [
        "sysctl -w fs.inotify.max_user_instances=1024; `oci-systemd install ENGINE --sysctl` keeps it over a reboot",
        "sysctl -w kernel.keys.root_maxkeys=400",
    ]


def test_more_in_use_than_the_limit_leaves_no_room() -> None:
    assert said(Limit(INSTANCES, 128, 500, estimated=True))[0][1] == (
        f"{INSTANCES} is 128, and about 500 are in use: room for some 0 more systemd containers"
    )


def test_the_kernel_s_own_limit_is_too_low_for_a_node_of_pods() -> None:
    assert (128 - NODE) // EACH[INSTANCES] < FEW < (checks.ENOUGH - NODE) // EACH[INSTANCES]


def test_a_pod_s_message_has_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kubernetes, "MESSAGE", tmp_path / "message")
    kubernetes.leave_message(["a", "b"])
    assert not (tmp_path / "message").exists()  # not in a pod
    (tmp_path / "message").touch()
    kubernetes.leave_message([])
    assert (tmp_path / "message").read_text() == ""
    kubernetes.leave_message(["a", "b"])
    assert (tmp_path / "message").read_text() == "a\nb"
