"""The self-contained tree on a node: put there whole, made current at once, and gone when nothing calls it any more."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

import pytest

from oci_systemd.core.errors import Problem
from oci_systemd.engines.state_roots import BUNDLES_OF_SHIMS
from oci_systemd.host import versions
from oci_systemd.host.tree import Tree
from oci_systemd.host.versions import Version
from tests.shells.test_cli_install import NOBODY, done, files, program, run

HOME = "/opt/oci-systemd"
TASK = "run/containerd/io.containerd.runtime.v2.task/k8s.io/c1"


def version(name: str, folder: Path) -> Version:
    """A version with its programs, as it lies in an image."""
    source = folder / name
    for each in versions.LINKED:
        (source / "bin").mkdir(parents=True, exist_ok=True)
        (source / "bin" / each).write_text(name)
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


class Killed(BaseException):
    """What stops one of us at once; what would clean up after an error is not reached."""


Dies = Callable[[str], AbstractContextManager[None]]


@pytest.fixture
def dies() -> Dies:
    """Whoever calls that name in `versions` is killed after its first file."""

    @contextmanager
    def dying(at: str) -> Iterator[None]:
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(versions, "_clear", lambda place: None if at != "rmtree" else half(place))
            if at == "copyfile":
                patch.setattr(shutil, "copyfile", lambda source, target: kill(Path(target).write_text("ha")))
            elif at == "flush":
                patch.setattr(versions, "flush", kill)
            elif at == "rename":
                patch.setattr(Path, "rename", kill)
            with pytest.raises(Killed):
                yield

    return dying


def kill(*_: object) -> None:
    raise Killed


def half(place: Path) -> None:
    """Remove the first file of a folder, and be killed."""
    if place.is_dir():
        next(each for each in sorted(place.rglob("*")) if each.is_file()).unlink()
        raise Killed


def called(root: Path) -> str:
    """What an engine would start."""
    return (root / "opt/oci-systemd/bin/oci-systemd-runtime").read_text()


def present(root: Path) -> list[str]:
    return sorted(each.name for each in (root / "opt/oci-systemd/versions").iterdir())


def process(root: Path, command: str, *, namespaces: str = "7", pid: int = 7) -> None:
    """A process of the root, as its /proc shows it beside init."""
    if pid != 1:
        process(root, "/sbin/init", pid=1)
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


@pytest.mark.parametrize("at", ["copyfile", "flush", "rename"])
def test_killed_on_the_way_in_is_done_again(at: str, root: Path, old: Version, new: Version, dies: Dies) -> None:
    versions.deploy(old, Tree(str(root)))
    with dies(at):
        versions.deploy(new, Tree(str(root)))
    assert called(root) == "1-aaaa"
    versions.deploy(new, Tree(str(root)))
    assert called(root) == "2-bbbb"
    assert files(root / "opt/oci-systemd/versions/2-bbbb") == files(new.source)
    assert present(root) == ["1-aaaa", "2-bbbb"]


@pytest.mark.parametrize("out", [versions.prune, versions.remove])
def test_killed_on_the_way_out_leaves_no_half_version(
    out: Callable[..., object], root: Path, old: Version, new: Version, dies: Dies
) -> None:
    """Where the next installer would take it for whole."""
    tree = Tree(str(root))
    for each in (old, new):
        versions.deploy(each, tree)
    with dies("rmtree"):
        out(new, tree, BUNDLES_OF_SHIMS)
    for each in (old, new):
        versions.deploy(each, tree)
        assert files(root / f"opt/oci-systemd/versions/{each.name}") == files(each.source)
    assert not [name for name in present(root) if name.startswith(".")]
    versions.remove(new, tree, BUNDLES_OF_SHIMS)
    assert sorted(files(root)) == ["proc"]


def test_times_and_modes_are_kept_and_the_image_s_labels_are_not(root: Path, old: Version) -> None:
    program = old.source / "bin/oci-systemd"
    program.chmod(0o741)
    os.utime(program, (1, 1))
    try:
        os.setxattr(program, "user.label", b"image")
    except OSError:
        pytest.skip("needs a file system with user.* attributes")
    versions.deploy(old, Tree(str(root)))
    copy = root / "opt/oci-systemd/versions/1-aaaa/bin/oci-systemd"
    assert (copy.stat().st_mtime, copy.stat().st_mode & 0o7777, os.listxattr(copy)) == (1, 0o741, [])


def test_a_copy_that_fails_leaves_the_old_one_called(root: Path, old: Version, new: Version) -> None:
    versions.deploy(old, Tree(str(root)))
    before = files(root)
    shutil.rmtree(new.source)
    with pytest.raises(Problem, match=r"versions/2-bbbb: cannot install below .*: No such file or directory"):
        versions.deploy(new, Tree(str(root)))
    assert files(root) == before


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root, to be somebody else")
def test_a_root_that_may_not_be_written_is_one_sentence(old: Version) -> None:
    with tempfile.TemporaryDirectory() as folder:  # not below pytest's, which is closed itself
        Path(folder).chmod(0o755)
        open_to_all = Version(HOME, old.name, Path(shutil.copytree(old.source, Path(folder) / "source", symlinks=True)))
        os.seteuid(NOBODY)
        try:
            with pytest.raises(Problem, match=r"cannot install below .*: Permission denied"):
                versions.deploy(open_to_all, Tree(folder))
        finally:
            os.seteuid(0)


def test_a_file_that_cannot_be_copied_is_one_sentence(root: Path, old: Version) -> None:
    os.mkfifo(old.source / "bin" / "fifo")
    with pytest.raises(Problem, match=r"cannot install below .*: .*fifo.* is a named pipe"):
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
    "a call that has found its version and does not show it": (
        f"{HOME}/bin/sh {HOME}/bin/oci-systemd-runtime.x.y",
        "7",
        ["1-aaaa", "2-bbbb"],
    ),
    "a monitor that will call the current version": (
        f"/usr/bin/conmon -b /b -r {HOME}/bin/oci-systemd-runtime",
        "7",
        ["2-bbbb"],
    ),
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
    with pytest.raises(Problem, match=r": in use: .*/1-aaaa/bin/oci-systemd-runtime still runs"):
        versions.remove(new, tree, BUNDLES_OF_SHIMS)
    (root / TASK / "runtime").unlink()
    assert versions.prune(new, tree, BUNDLES_OF_SHIMS) == [f"removed {HOME}/versions/1-aaaa"]


CALLED_BY_NAME = {
    "a shim": lambda root: program(root / TASK / "runtime", f"{HOME}/bin/oci-systemd-runtime.containerd.systemd"),
    "a monitor": lambda root: process(root, f"/usr/bin/conmon -b /b -r {HOME}/bin/oci-systemd-runtime"),
    "the plugin": lambda root: process(root, f"{HOME}/versions/1-aaaa/python/bin/python3 -ISB x nri"),
}


@pytest.mark.parametrize("caller", CALLED_BY_NAME.values(), ids=CALLED_BY_NAME)
def test_nothing_is_removed_that_is_called_by_its_name(
    caller: Callable[[Path], object], root: Path, old: Version
) -> None:
    versions.deploy(old, Tree(str(root)))
    caller(root)
    before = files(root)
    with pytest.raises(Problem, match="/opt/oci-systemd: in use: "):
        versions.remove(old, Tree(str(root)), BUNDLES_OF_SHIMS)
    assert files(root) == before


@pytest.mark.parametrize("out", [versions.prune, versions.remove])
def test_processes_that_are_hidden_are_no_sign_that_nothing_runs(
    out: Callable[..., object], root: Path, old: Version, new: Version
) -> None:
    for each in (old, new):
        versions.deploy(each, Tree(str(root)))
    process(root, "busybox")
    shutil.rmtree(root / "proc/1")
    before = files(root)
    with pytest.raises(Problem, match="mounted with hidepid, which hides processes"):
        out(new, Tree(str(root)), BUNDLES_OF_SHIMS)
    assert files(root) == before


def test_what_another_installer_has_made_current_stays(root: Path, old: Version, new: Version) -> None:
    tree = Tree(str(root))
    for each in (old, new):
        versions.deploy(each, tree)
    assert versions.prune(old, tree, BUNDLES_OF_SHIMS) == []
    assert called(root) == "2-bbbb"


@pytest.mark.parametrize("what", [versions.deploy, versions.prune, versions.remove])
def test_two_at_once_are_one_after_the_other(what: Callable[..., object], root: Path, old: Version) -> None:
    tree = Tree(str(root))
    more = () if what == versions.deploy else (BUNDLES_OF_SHIMS,)
    with tree.alone(), pytest.raises(Problem, match="in use by another oci-systemd"):
        what(old, Tree(str(root)), *more)
    assert not (root / "opt").exists()


def test_removal_leaves_what_was_there(root: Path, old: Version, new: Version) -> None:
    tree = Tree(str(root))
    before = files(root)
    for each in (old, new):
        versions.deploy(each, tree)
    assert versions.remove(new, tree, BUNDLES_OF_SHIMS) == [f"removed {HOME}"]
    assert files(root) == before
    assert versions.remove(new, tree, BUNDLES_OF_SHIMS) == []


def test_nothing_is_removed_that_is_named_by_now(root: Path, old: Version) -> None:
    versions.deploy(old, Tree(str(root)))
    assert versions.remove(old, Tree(str(root)), BUNDLES_OF_SHIMS, lambda: [f"{HOME}/bin/oci-systemd-runtime"]) == []
    assert called(root) == "1-aaaa"


def test_removal_leaves_a_folder_that_others_use(root: Path, old: Version) -> None:
    versions.deploy(old, Tree(str(root)))
    (root / "opt/other").mkdir()
    versions.remove(old, Tree(str(root)), BUNDLES_OF_SHIMS)
    assert sorted(each.name for each in (root / "opt").iterdir()) == ["other"]


def test_this_source_tree_is_no_version() -> None:
    assert versions.own() is None


# By the commands


@pytest.fixture
def installer(root: Path, old: Version, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A root with an engine, which commands of the version `old` are run on."""
    for each in ("containerd", "runc"):
        program(root / "usr/bin" / each)
    program(old.source / "bin/oci-systemd-runtime", "#!/bin/sh\nosd_runtime=${osd_runtime:-runc}\n")
    monkeypatch.setattr(versions, "own", lambda: old)
    return root


def test_a_tree_goes_once_the_engine_was_told(installer: Path) -> None:
    """Until then it serves the handler, and would start a removed program."""
    done(installer, "install", "containerd")
    assert present(installer) == ["1-aaaa"]
    assert done(installer, "uninstall", "containerd")[-1] == "next: systemctl restart containerd"
    assert present(installer) == ["1-aaaa"]
    assert done(installer, "uninstall", "containerd")[-1] == f"removed {HOME}"
    assert not (installer / "opt").exists()


def test_a_tree_that_is_in_use_stays_where_removal_is_forced(installer: Path) -> None:
    done(installer, "install", "containerd")
    program(installer / TASK / "runtime", f"{HOME}/bin/oci-systemd-runtime")
    done(installer, "uninstall", "containerd", "--force")
    result = run(installer, "uninstall", "containerd", "--force")
    assert (result.exit_code, ": in use: " in result.stderr) == (0, True)
    assert run(installer, "uninstall", "containerd").exit_code == 2
    assert present(installer) == ["1-aaaa"]
