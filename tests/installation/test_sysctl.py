"""`--sysctl`: the node's limit is raised by a file and at once, and both are taken back, by whoever wrote them alone."""

from __future__ import annotations

from pathlib import Path

import pytest

from oci_systemd.installation.sysctl import FILE
from tests.shells.test_cli_install import config, done, files, refused, run
from tests.shells.test_cli_install import root as root

SYSCTL = "--sysctl"
INSTANCES = "proc/sys/fs/inotify/max_user_instances"
FEW, ENOUGH = "128\n", "1024\n"


@pytest.fixture
def limit(root: Path) -> Path:
    """The limit of a node that has the kernel's own."""
    return config(root / INSTANCES, FEW)


def written(root: Path) -> str:
    return (root / FILE.lstrip("/")).read_text()


def test_the_limit_is_raised_now_and_for_the_next_boot(root: Path, limit: Path) -> None:
    said = done(root, "install", "containerd", SYSCTL)
    assert said[-2:] == [f"wrote {FILE}", "fs.inotify.max_user_instances is 1024 from now on; it was 128"]
    assert limit.read_text() == ENOUGH
    assert written(root).splitlines()[-1] == "fs.inotify.max_user_instances = 1024"


def test_uninstall_takes_both_back(root: Path, limit: Path) -> None:
    before = files(root)
    done(root, "install", "containerd", SYSCTL)
    said = done(root, "uninstall", "containerd")
    assert [f"removed {FILE}", "fs.inotify.max_user_instances is 128 again"] == said[-2:]
    assert files(root) == before


def test_an_install_without_it_takes_both_back(root: Path, limit: Path) -> None:
    done(root, "install", "containerd")
    before = files(root)
    done(root, "install", "containerd", SYSCTL)
    done(root, "install", "containerd")
    assert files(root) == before


def test_once_more_it_says_and_does_nothing(root: Path, limit: Path) -> None:
    done(root, "install", "containerd", SYSCTL)
    before = files(root)
    assert done(root, "install", "containerd", SYSCTL) == ["containerd: handler systemd is up to date; nothing to do"]
    assert files(root) == before


def test_after_a_boot_that_raised_it_the_value_from_before_is_known(root: Path, limit: Path) -> None:
    done(root, "install", "containerd", SYSCTL)
    done(root, "install", "containerd", SYSCTL)
    done(root, "uninstall", "containerd")
    assert limit.read_text() == FEW


def test_a_limit_that_is_high_already_stays(root: Path, limit: Path) -> None:
    limit.write_text("8192\n")
    said = done(root, "install", "containerd", SYSCTL)
    assert said[-1] == f"fs.inotify.max_user_instances is 8192 already; {FILE} is not written"
    assert not (root / FILE.lstrip("/")).exists()


def test_a_limit_that_somebody_has_changed_since_stays(root: Path, limit: Path) -> None:
    done(root, "install", "containerd", SYSCTL)
    limit.write_text("2048\n")
    done(root, "uninstall", "containerd")
    assert limit.read_text() == "2048\n"


def test_another_handler_neither_writes_nor_removes_it(root: Path, limit: Path) -> None:
    done(root, "install", "containerd", SYSCTL)
    before = written(root)
    result = run(root, "install", "containerd", SYSCTL, "--handler", "late")
    assert f"{FILE} was not written for this handler; the file is unchanged" in result.stderr
    done(root, "uninstall", "containerd", "--handler", "late")
    assert written(root) == before
    done(root, "uninstall", "containerd")
    assert limit.read_text() == FEW


def test_somebody_else_s_file_stays(root: Path, limit: Path) -> None:
    config(root / FILE.lstrip("/"), "kernel.pid_max = 4194304\n")
    assert "the file is unchanged" in run(root, "install", "containerd", SYSCTL).stderr
    done(root, "uninstall", "containerd")
    assert written(root) == "kernel.pid_max = 4194304\n"


def test_a_dry_run_shows_it_and_changes_nothing(root: Path, limit: Path) -> None:
    before = files(root)
    said = run(root, "install", "--dry-run", "containerd", SYSCTL).stdout
    assert "+fs.inotify.max_user_instances = 1024" in said
    assert files(root) == before
    done(root, "install", "containerd", SYSCTL)
    before = files(root)
    assert "-fs.inotify.max_user_instances = 1024" in run(root, "uninstall", "--dry-run", "containerd").stdout
    assert files(root) == before


def test_a_root_that_is_no_running_node_has_no_limit_to_raise(root: Path) -> None:
    assert "fs.inotify.max_user_instances: cannot read it" in refused(root, "install", "containerd", SYSCTL)


def test_uninstall_takes_the_option_too(root: Path, limit: Path) -> None:
    """As a component that adds it to every overlay's arguments does."""
    done(root, "install", "containerd", SYSCTL)
    done(root, "uninstall", "containerd", SYSCTL)
    assert limit.read_text() == FEW
