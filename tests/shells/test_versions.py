"""The self-contained tree on a node: put there whole, made current at once, and gone when nothing calls it any more."""

from __future__ import annotations

import os
import shutil
import tempfile
from pathlib import Path

import pytest

from oci_systemd.core.errors import Problem
from oci_systemd.engines.state_roots import BUNDLES_OF_SHIMS
from oci_systemd.host import versions
from oci_systemd.host.tree import Tree
from oci_systemd.host.versions import Version
from tests.shells.test_cli_install import NOBODY, files

HOME = "/opt/oci-systemd"
TASK = "run/containerd/io.containerd.runtime.v2.task/k8s.io/c1"


def version(name: str, folder: Path) -> Version:
    """A version with its programs, as it lies in an image."""
    source = folder / name
    for program in versions.LINKED:
        (source / "bin").mkdir(parents=True, exist_ok=True)
        (source / "bin" / program).write_text(name)
    (source / "lib").symlink_to("bin")
    return Version(HOME, name, source)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    root = tmp_path / "root"
    (root / "proc").mkdir(parents=True)
    return root


@pytest.fixture
def old(tmp_path: Path) -> Version:
    return version("1-aaaa", tmp_path)


@pytest.fixture
def new(tmp_path: Path) -> Version:
    return version("2-bbbb", tmp_path)


def called(root: Path) -> str:
    """What an engine would start."""
    return (root / "opt/oci-systemd/bin/oci-systemd-runtime").read_text()


def present(root: Path) -> list[str]:
    return sorted(each.name for each in (root / "opt/oci-systemd/versions").iterdir())


def process(root: Path, command: str, *, namespaces: str = "7", pid: int = 7) -> None:
    """A process of the root, as its /proc shows it."""
    folder = root / f"proc/{pid}"
    folder.mkdir()
    (folder / "cmdline").write_bytes(command.replace(" ", "\0").encode() + b"\0")
    (folder / "status").write_text(f"Name:\tx\nNSpid:\t{namespaces}\nUid:\t0\n")


def test_it_is_whole_and_called(root: Path, old: Version) -> None:
    done = versions.deploy(old, Tree(str(root)))
    assert done[:2] == [f"copied {HOME}/versions/1-aaaa", f"wrote {HOME}/current"]
    assert files(root / "opt/oci-systemd/versions/1-aaaa") == files(old.source)
    assert called(root) == "1-aaaa"


def test_once_more_changes_nothing(root: Path, old: Version) -> None:
    versions.deploy(old, Tree(str(root)))
    before = files(root)
    assert versions.deploy(old, Tree(str(root))) == []
    assert files(root) == before


def test_an_upgrade_changes_what_is_called_and_not_how(root: Path, old: Version, new: Version) -> None:
    versions.deploy(old, Tree(str(root)))
    links = files(root / "opt/oci-systemd/bin")
    assert versions.deploy(new, Tree(str(root))) == [f"copied {HOME}/versions/2-bbbb", f"wrote {HOME}/current"]
    assert called(root) == "2-bbbb"
    assert files(root / "opt/oci-systemd/bin") == links


def test_the_way_back_is_the_same_way(root: Path, old: Version, new: Version) -> None:
    for each in (old, new, old):
        versions.deploy(each, Tree(str(root)))
    assert called(root) == "1-aaaa"


def test_what_was_left_half_written_is_no_version(root: Path, old: Version) -> None:
    half = root / "opt/oci-systemd/versions/.1-aaaa.new/bin"
    half.mkdir(parents=True)
    (half / "oci-systemd").write_text("half")
    versions.deploy(old, Tree(str(root)))
    assert present(root) == ["1-aaaa"]
    assert called(root) == "1-aaaa"


def test_a_copy_that_fails_leaves_the_old_one_called(root: Path, old: Version, new: Version) -> None:
    versions.deploy(old, Tree(str(root)))
    before = files(root)
    shutil.rmtree(new.source)
    with pytest.raises(Problem, match=r"versions/2-bbbb cannot be put below .*: No such file or directory"):
        versions.deploy(new, Tree(str(root)))
    assert files(root) == before


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root, to be somebody else")
def test_a_root_that_may_not_be_written_is_one_sentence(old: Version) -> None:
    with tempfile.TemporaryDirectory() as folder:  # not below pytest's, which is closed itself
        Path(folder).chmod(0o755)
        open_to_all = Version(HOME, old.name, Path(shutil.copytree(old.source, Path(folder) / "source", symlinks=True)))
        os.seteuid(NOBODY)
        try:
            with pytest.raises(Problem, match=r"cannot be put below .*: Permission denied"):
                versions.deploy(open_to_all, Tree(folder))
        finally:
            os.seteuid(0)


def test_a_file_that_cannot_be_copied_is_one_sentence(root: Path, old: Version) -> None:
    os.mkfifo(old.source / "bin" / "fifo")
    with pytest.raises(Problem, match=r"cannot be put below .*: .*fifo.* is a named pipe"):
        versions.deploy(old, Tree(str(root)))
    assert present(root) == []


def test_links_of_the_root_lead_nowhere_outside(root: Path, old: Version, tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    (root / "opt").symlink_to("/../../outside")
    (root / "outside").mkdir()
    versions.deploy(old, Tree(str(root)))
    assert not list(outside.iterdir())
    assert (root / "outside/oci-systemd/current").is_symlink()


CALLERS = {
    "nobody": ("", "", ["2-bbbb"]),
    "a process": (f"{HOME}/versions/1-aaaa/python/bin/python3 -ISB", "7", ["1-aaaa", "2-bbbb"]),
    "a process in a container": (f"{HOME}/versions/1-aaaa/python/bin/python3 -ISB", "7\t1", ["2-bbbb"]),
    "a process of the new one": (f"{HOME}/versions/2-bbbb/bin/sh", "7", ["2-bbbb"]),
    "a name that only begins so": (f"{HOME}/versions/1-aaaa-2/bin/sh", "7", ["2-bbbb"]),
    "a process elsewhere": (f"/srv{HOME}/versions/1-aaaa/bin/sh", "7", ["2-bbbb"]),
}


@pytest.mark.parametrize(("command", "namespaces", "left"), CALLERS.values(), ids=CALLERS)
def test_old_versions_go_when_nothing_calls_them(
    command: str, namespaces: str, left: list[str], root: Path, old: Version, new: Version
) -> None:
    tree = Tree(str(root))
    for each in (old, new):
        versions.deploy(each, tree)
    if command:
        process(root, command, namespaces=namespaces)
    versions.prune(new, tree, BUNDLES_OF_SHIMS)
    assert present(root) == left


def test_a_version_that_a_shim_calls_stays(root: Path, old: Version, new: Version) -> None:
    tree = Tree(str(root))
    for each in (old, new):
        versions.deploy(each, tree)
    (root / TASK).mkdir(parents=True)
    (root / TASK / "runtime").write_text(f"{old.inside}/bin/oci-systemd-runtime")
    assert versions.prune(new, tree, BUNDLES_OF_SHIMS) == []
    with pytest.raises(Problem, match="something still runs from 1-aaaa"):
        versions.remove(new, tree, BUNDLES_OF_SHIMS)
    (root / TASK / "runtime").unlink()
    assert versions.prune(new, tree, BUNDLES_OF_SHIMS) == [f"removed {HOME}/versions/1-aaaa"]


def test_two_at_once_are_one_after_the_other(root: Path, old: Version) -> None:
    tree = Tree(str(root))
    with tree.alone(), pytest.raises(Problem, match="another oci-systemd writes below"):
        versions.deploy(old, Tree(str(root)))
    assert not (root / "opt").exists()


def test_removal_leaves_what_was_there(root: Path, old: Version, new: Version) -> None:
    tree = Tree(str(root))
    before = files(root)
    for each in (old, new):
        versions.deploy(each, tree)
    assert versions.remove(new, tree, BUNDLES_OF_SHIMS) == [f"removed {HOME}"]
    assert files(root) == before
    assert versions.remove(new, tree, BUNDLES_OF_SHIMS) == []


def test_removal_leaves_a_folder_that_others_use(root: Path, old: Version) -> None:
    versions.deploy(old, Tree(str(root)))
    (root / "opt/other").mkdir()
    versions.remove(old, Tree(str(root)), BUNDLES_OF_SHIMS)
    assert sorted(each.name for each in (root / "opt").iterdir()) == ["other"]


def test_this_source_tree_is_no_version() -> None:
    assert versions.own() is None
