"""Configuration files read and written, all together or not at all: failures at every step, links, modes, rivals."""

from __future__ import annotations

import fcntl
import json
import os
import resource
import shutil
import stat
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from oci_systemd.core.errors import Problem
from oci_systemd.engines.plan import Change
from oci_systemd.host.tree import LIMIT, Tree

NOBODY = 65534
ROOT = os.geteuid() == 0
WITH_MOUNTS = pytest.mark.skipif(not ROOT or not shutil.which("unshare"), reason="needs root, to mount")


@pytest.fixture
def tree(tmp_path: Path) -> Tree:
    (tmp_path / "etc").mkdir()
    return Tree(str(tmp_path))


def write(tree: Tree, path: str, text: str = "old\n") -> Path:
    outside = tree.root / path.lstrip("/")
    outside.parent.mkdir(parents=True, exist_ok=True)
    outside.write_text(text)
    return outside


def link(tree: Tree, path: str, target: str) -> None:
    outside = tree.root / path.lstrip("/")
    outside.parent.mkdir(parents=True, exist_ok=True)
    outside.symlink_to(target)


def everything(folder: Path) -> dict[str, tuple[int, int, Any]]:
    return {
        str(path.relative_to(folder)): (
            stat.S_IMODE(path.lstat().st_mode),
            path.lstat().st_uid,
            str(path.readlink()) if path.is_symlink() else path.read_bytes() if path.is_file() else None,
        )
        for path in folder.rglob("*")
        if not path.is_relative_to(folder / "run")
        or any(each.is_file() for each in path.rglob("*"))  # of the lock folders may be left
    }


# Reading


def test_what_is_not_there_is_none(tree: Tree) -> None:
    write(tree, "/etc/file")
    link(tree, "/etc/dangling", "nowhere")
    for path in ("/etc/x", "/x/y", "/etc/file/x", "/etc/dangling"):
        assert tree.read(path) is None
    assert not tree.exists("/etc/x")


def unreadable(path: Path) -> dict[str, Callable[[], object]]:
    return {
        "a directory": path.mkdir,
        "a FIFO": lambda: os.mkfifo(path),
        "a socket": lambda: __import__("socket").socket(1).bind(str(path)),
        "a link to a device": lambda: path.symlink_to("/dev/zero"),
        "no UTF-8": lambda: path.write_bytes(b"a\xff"),
        "too large": lambda: (path.touch(), os.truncate(path, LIMIT + 1)),
    }


UNREADABLE = {
    "a directory": "is a directory",
    "a FIFO": "is not a regular file",
    "a socket": "cannot read",
    "no UTF-8": ": not UTF-8 at byte 1",
    "too large": "the limit is 16777216",
}


@pytest.mark.parametrize(("what", "said"), UNREADABLE.items(), ids=UNREADABLE)
def test_what_cannot_be_read_is_a_problem_and_holds_up_nothing(what: str, said: str, tree: Tree) -> None:
    unreadable(tree.root / "etc/x")[what]()
    with pytest.raises(Problem, match=said):
        tree.read("/etc/x")


def test_line_ends_and_odd_letters_are_read_as_they_are(tree: Tree) -> None:
    for text in ("a\r\nb\rc\n", "\ufeffa", "\u2028\x85\x0c", "", "\0"):
        (tree.root / "etc/x").write_bytes(text.encode())
        assert tree.read("/etc/x") == text


LINKS = {
    "an absolute link": "/target",
    "a link that climbs": "../../../../target",
    "a link to a link": "link",
    "an absolute link through a folder's": "/etc/up/target",
}


@pytest.mark.parametrize("target", LINKS.values(), ids=LINKS)
def test_links_are_followed_inside_the_root(target: str, tree: Tree) -> None:
    write(tree, "/target", "inside\n")
    link(tree, "/etc/link", "../target")
    link(tree, "/etc/up", "/")
    link(tree, "/etc/x", target)
    assert tree.read("/etc/x") == "inside\n"
    assert tree.outside("/etc/x") == tree.root / "target"
    tree.commit([Change("/etc/x", "inside\n", "new\n")])
    assert (tree.root / "target").read_text() == "new\n"
    assert (tree.root / "etc/x").is_symlink()


def test_links_never_lead_outside(tree: Tree, tmp_path_factory: pytest.TempPathFactory) -> None:
    outside = tmp_path_factory.mktemp("outside")
    (outside / "secret").write_text("secret")
    link(tree, "/etc/folder", str(outside))
    link(tree, "/etc/file", f"{outside}/secret")
    assert tree.read("/etc/folder/secret") is None
    assert tree.read("/etc/file") is None
    assert (tree.glob("/etc/folder/*"), tree.below("/etc/folder")) == ([], [])
    tree.commit([Change("/etc/folder/new", None, "x"), Change("/etc/file", None, "y")])
    assert {path.name for path in outside.iterdir()} == {"secret"}
    assert (outside / "secret").read_text() == "secret"
    assert (tree.root / str(outside)[1:] / "new").read_text() == "x"
    assert (tree.root / str(outside)[1:] / "secret").read_text() == "y"


def test_links_in_a_circle_are_a_problem(tree: Tree) -> None:
    link(tree, "/etc/a", "b")
    link(tree, "/etc/b", "a")
    with pytest.raises(Problem, match="/etc/a/x: too many symbolic links"):
        tree.read("/etc/a/x")


GLOBS: dict[str, tuple[str, list[str]]] = {
    "a name": ("/etc/d/a.toml", ["/etc/d/a.toml"]),
    "a name that is not there": ("/etc/d/z.toml", []),
    "an ending, in order": ("/etc/d/*.toml", ["/etc/d/.x.toml", "/etc/d/a.toml", "/etc/d/b.toml"]),
    "a folder": ("/etc/*/a.toml", ["/etc/d/a.toml", "/etc/e/a.toml", "/etc/l/a.toml"]),
    "both": ("/e?c/[de]/b*", ["/etc/d/b.toml", "/etc/e/b"]),
    "no folder": ("/nowhere/*/*", []),
    "a file for a folder": ("/etc/d/a.toml/*", []),
    "by a link": ("/etc/l/a*", ["/etc/l/a.tom", "/etc/l/a.toml"]),
}


@pytest.mark.parametrize(("pattern", "paths"), GLOBS.values(), ids=GLOBS)
def test_pattern_matches_files_in_order(pattern: str, paths: list[str], tree: Tree) -> None:
    for path in ("d/b.toml", "d/a.toml", "d/.x.toml", "d/a.tom", "e/a.toml", "e/b"):
        write(tree, f"/etc/{path}")
    (tree.root / "etc/d/folder.toml").mkdir()
    link(tree, "/etc/l", "/etc/d")
    assert tree.glob(pattern) == paths


def test_files_below_a_folder_come_in_order_and_links_to_folders_do_not(tree: Tree) -> None:
    for path in ("/d/b/c", "/d/b/a", "/d/a", "/d/c~"):
        write(tree, path)
    link(tree, "/d/loop", ".")
    link(tree, "/d/z", "a")
    assert tree.below("/d") == ["/d/a", "/d/b/a", "/d/b/c", "/d/c~", "/d/z"]
    assert tree.below("/nowhere") == tree.below("/d/a") == []


# Writing


def test_changes_are_made_together(tree: Tree) -> None:
    write(tree, "/etc/a")
    write(tree, "/etc/b")
    (tree.root / "etc/a").chmod(0o640)
    if ROOT:
        os.chown(tree.root / "etc/a", 1, 2)
    tree.commit(
        [Change("/etc/a", "old\n", "new\n"), Change("/etc/b", "old\n", None), Change("/etc/c", None, "c", 0o755)]
    )
    assert sorted(path.name for path in (tree.root / "etc").iterdir()) == ["a", "c"]
    status = (tree.root / "etc/a").stat()
    assert (tree.root / "etc/a").read_text() == "new\n"
    assert (stat.S_IMODE(status.st_mode), status.st_uid, status.st_gid) == (
        0o640,
        *((1, 2) if ROOT else (status.st_uid, status.st_gid)),
    )
    assert stat.S_IMODE((tree.root / "etc/c").stat().st_mode) == 0o755


@pytest.mark.parametrize("umask", [0, 0o22, 0o77])
def test_folders_are_made_for_everybody_whatever_the_umask_and_removed_again(umask: int, tree: Tree) -> None:
    before = everything(tree.root)
    old = os.umask(umask)
    try:
        tree.commit([Change("/etc/a/b/c", None, "x")])
    finally:
        os.umask(old)
    assert [oct(stat.S_IMODE((tree.root / path).stat().st_mode)) for path in ("etc/a", "etc/a/b", "etc/a/b/c")] == [
        "0o755",
        "0o755",
        "0o644",
    ]
    write(tree, "/etc/a/theirs")
    tree.commit([Change("/etc/a/b/c", "x", None)], ["/etc/a/b", "/etc/a", "/etc/nowhere", "/etc/a/theirs"])
    assert sorted(everything(tree.root)) == ["etc", "etc/a", "etc/a/theirs"]
    tree.commit([Change("/etc/a/theirs", "old\n", None)], ["/etc/a"])
    assert everything(tree.root) == before


def test_what_a_killed_one_left_is_removed(tree: Tree) -> None:
    write(tree, "/etc/a")
    write(tree, "/etc/.a.oci-systemd-new", "half")
    write(tree, "/etc/.a.oci-systemd-old", "half")
    tree.commit([Change("/etc/a", "old\n", "new\n")])
    assert sorted(everything(tree.root)) == ["etc", "etc/a"]


def test_a_link_beside_the_file_leads_nobody_astray(tree: Tree) -> None:
    victim = write(tree, "/victim")
    write(tree, "/etc/a")
    link(tree, "/etc/.a.oci-systemd-new", "/victim")
    link(tree, "/etc/.a.oci-systemd-old", str(victim))
    tree.commit([Change("/etc/a", "old\n", "new\n")])
    assert victim.read_text() == "old\n"
    assert sorted(everything(tree.root)) == ["etc", "etc/a", "victim"]


CHANGES = (
    Change("/etc/a", "old\n", "new\n"),
    Change("/etc/b", "old\n", None),
    Change("/etc/x/y/c", None, "new\n"),
    Change("/etc/d", "old\n", "new\n" * 4096),
)


@pytest.fixture
def filled(tree: Tree) -> Tree:
    for name in "abd":
        write(tree, f"/etc/{name}").chmod(0o604)
    return tree


def check_nothing_is_done(tree: Tree, said: str, changes: tuple[Any, ...] = CHANGES) -> None:
    before = everything(tree.root)
    with pytest.raises(Problem, match=said) as error:
        tree.commit(changes)
    assert str(error.value).endswith("; no file is changed")
    assert everything(tree.root) == before


@pytest.mark.parametrize("index", range(len(CHANGES)))
def test_file_that_was_changed_meanwhile_stays(index: int, filled: Tree) -> None:
    path = CHANGES[index].path
    write(filled, path, "theirs\n")
    check_nothing_is_done(filled, f"{path}: another process has just changed it; try again")


@pytest.mark.parametrize("index", range(len(CHANGES)))
def test_folder_in_a_file_s_place_stays(index: int, filled: Tree) -> None:
    path = filled.root / CHANGES[index].path[1:]
    path.unlink(missing_ok=True)
    (path / "theirs").mkdir(parents=True)
    check_nothing_is_done(filled, "is a directory")


def test_file_in_a_folder_s_place_stays(filled: Tree) -> None:
    write(filled, "/etc/x")
    check_nothing_is_done(filled, "etc/x.*: cannot write: (Not a directory|File exists)")


def test_full_disk_is_found_out_before_anything_is_done(filled: Tree) -> None:
    """A limit on the size of files stands for it: the last of the four is too large."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (4096, hard))
    try:
        check_nothing_is_done(filled, "etc/d: cannot write: File too large")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


@dataclass
class Interrupted:
    """A change during which somebody presses ^C, as soon as its text is asked for the nth time."""

    path: str
    old: str | None
    text: str | None
    left: int
    mode: int = 0o644

    @property
    def new(self) -> str | None:
        self.left -= 1
        if not self.left:
            raise KeyboardInterrupt
        return self.text


def test_an_interrupted_change_is_put_back(filled: Tree) -> None:
    before = everything(filled.root)
    for left in range(1, 9):
        last = Interrupted("/etc/d", "old\n", "new\n", left)
        try:
            filled.commit([*CHANGES[:3], last])
        except KeyboardInterrupt:
            assert everything(filled.root) == before
        else:
            assert left > 2
            return
    pytest.fail("it is never asked for so often")


# Every call that may fail does so once. An audit hook cannot be removed, so there is one, which gets the time to act.
FAILING: list[int] = []
EVENTS = ("open", "os.rename", "os.remove", "os.mkdir", "os.chmod", "os.chown", "os.rmdir")


def fail(event: str, args: tuple[Any, ...]) -> None:
    if FAILING and event in EVENTS and threading.current_thread() is threading.main_thread():
        FAILING[0] -= 1
        if FAILING[0] == 0:
            FAILING.clear()
            name = args[0] if isinstance(args[0], (str, bytes, os.PathLike)) else None
            raise OSError(5, os.strerror(5), name)


sys.addaudithook(fail)


def test_whatever_call_fails_all_is_as_it_was(filled: Tree) -> None:
    """A leftover beside the files that cannot be removed is removed at the next change."""
    before = everything(filled.root)
    failed = 0
    for count in range(1, 200):
        FAILING[:] = [count]
        try:
            filled.commit(CHANGES)
        except Problem as problem:
            assert "Input/output error; no file is changed" in str(problem)
            assert everything(filled.root) == before
            failed += 1
            continue
        except OSError as error:
            assert "no file is changed" not in str(error)
            assert everything(filled.root) == before
            continue
        finally:
            FAILING.clear()
        assert (filled.root / "etc/a").read_text() == "new\n"
        assert (filled.root / "etc/d").read_text() == "new\n" * 4096
        back = [Change(each.path, each.new, each.old, 0o604) for each in CHANGES]
        filled.commit(back, ["/etc/x/y", "/etc/x"])
        assert everything(filled.root) == before
        if count > 60:
            break
    assert failed > 20


MOUNTS = {
    "full": ("mount -t tmpfs -o size=8k,mode=755 none {root}/etc/full", "/etc/full/c", "No space left on device"),
    "read-only": ("mount -t tmpfs -o ro none {root}/etc/full", "/etc/full/c", "Read-only file system"),
    "mounted over": (
        "touch {root}/etc/full/c; mount --bind {root}/etc/full/c {root}/etc/full/c",
        "/etc/full/c",
        "busy",
    ),
}
COMMIT = """
import sys
sys.path[:0] = {paths!r}
from oci_systemd.engines.plan import Change
from oci_systemd.host.tree import Tree
tree = Tree({root!r})
try:
    tree.commit([
        Change("/etc/a", "old\\n", "new\\n"),
        Change("/etc/b", "old\\n", None),
        Change({path!r}, tree.read({path!r}), "x" * 9999),
    ])
except Exception as error:
    print(type(error).__name__, error, *sorted(map(str, tree.root.rglob("*oci-systemd*"))))
"""


@WITH_MOUNTS
@pytest.mark.parametrize(("mount", "path", "said"), MOUNTS.values(), ids=MOUNTS)
def test_file_system_that_cannot_take_it(mount: str, path: str, said: str, filled: Tree) -> None:
    """The last of three cannot be written: with a full one before anything is done, with a mount when two are done."""
    (filled.root / "etc/full").mkdir()
    before = everything(filled.root)
    code = COMMIT.format(paths=[str(Path(__file__).parents[2]), *sys.path], root=str(filled.root), path=path)
    result = run_apart(mount.format(root=filled.root), code)
    assert result.stderr == ""
    assert result.stdout.startswith("Problem ")
    assert said in result.stdout
    assert result.stdout.endswith("; no file is changed\n")
    (filled.root / "etc/full/c").unlink(missing_ok=True)
    assert everything(filled.root) == before


def run_apart(mount: str, code: str) -> subprocess.CompletedProcess[str]:
    """Python code in mounts of its own."""
    script = f'{mount}\nexec "$0" -c "$1"'
    return subprocess.run(
        ["unshare", "-m", "sh", "-ec", script, sys.executable, code], capture_output=True, text=True, check=False
    )


# Rivals


def test_two_at_once_are_one_after_the_other(filled: Tree) -> None:
    before = everything(filled.root)
    with filled.alone():
        held = everything(filled.root)
        with pytest.raises(Problem, match=r"in use by another oci-systemd; try again"):
            filled.commit(CHANGES)
        assert everything(filled.root) == held
    assert everything(filled.root) == before
    filled.commit(CHANGES)


def test_nobody_else_can_hold_the_lock(filled: Tree) -> None:
    """A lock on a folder is anybody's who may read it, for as long as he likes."""
    fd = os.open(filled.root, os.O_RDONLY)
    fcntl.flock(fd, fcntl.LOCK_EX)
    filled.commit(CHANGES)
    os.close(fd)
    with filled.alone():
        assert stat.S_IMODE((filled.root / "run/oci-systemd/lock").stat().st_mode) == 0o600


def test_two_names_of_one_file_are_told(filled: Tree) -> None:
    link(filled, "/etc/l", "a")
    changes = (Change("/etc/a", "old\n", "new\n"), Change("/etc/l", "old\n", "other\n"))
    check_nothing_is_done(filled, "/etc/l: a link to another file that also changes", changes)


INSTALL = """
import sys
sys.path[:0] = {paths!r}
from oci_systemd.cli import cli
cli.main(["install", "--root", {root!r}, "docker", "--handler", sys.argv[1]])
"""


def test_installs_at_once_leave_files_and_record_in_step(tree: Tree) -> None:
    for name in ("bin/dockerd", "sbin/runc", "bin/oci-systemd-runtime"):
        write(tree, f"/usr/{name}", "#!/bin/sh\nosd_runtime=/usr/sbin/runc\n").chmod(0o755)
    write(tree, "/etc/docker/daemon.json", "{}")
    code = INSTALL.format(paths=[str(Path(__file__).parents[2]), *sys.path], root=str(tree.root))
    names = [f"h{number}" for number in range(6)]
    started = {
        name: subprocess.Popen(
            [sys.executable, "-c", code, name], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )
        for name in names
    }
    installed = set()
    for name, process in started.items():
        _, stderr = process.communicate(timeout=60)
        assert process.returncode == 0 or "try again" in stderr
        installed |= {name} if process.returncode == 0 else set()
    runtimes = set(json.loads(tree.read("/etc/docker/daemon.json") or "")["runtimes"])
    record = json.loads(tree.read("/etc/oci-systemd/engines/docker.json") or "")
    assert runtimes == installed == {handler for entry in record["entries"] for handler in entry["handlers"]}
    assert installed
    assert not [path for path in tree.root.rglob(".*") if "oci-systemd" in path.name]


# Somebody who is not root


@pytest.fixture
def closed() -> Iterator[Path]:
    folder = Path(tempfile.mkdtemp(prefix="oci-systemd-", dir="/tmp"))
    yield folder
    shutil.rmtree(folder)


@pytest.mark.skipif(not ROOT, reason="needs root, to be somebody else")
def test_folder_that_is_closed_is_a_problem_and_not_nothing(closed: Path) -> None:
    (closed / "etc").mkdir(0o700)
    (closed / "etc/x").write_text("x")
    closed.chmod(0o755)
    tree = Tree(str(closed))
    os.seteuid(NOBODY)
    try:
        with pytest.raises(Problem, match="/etc/x: cannot read: Permission denied"):
            tree.read("/etc/x")
        with pytest.raises(Problem, match="/etc: cannot read: Permission denied"):
            tree.glob("/etc/*")
        with pytest.raises(Problem, match="Permission denied"):
            tree.commit([Change("/etc/x", "x", "y")])
    finally:
        os.seteuid(0)
    assert (closed / "etc/x").read_text() == "x"


def test_of_a_file_that_goes_nothing_is_left_beside_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Also where one of us is killed: CRI-O reads every file of its folder."""
    drop_in = tmp_path / "drop-in"
    drop_in.write_text("ours")
    monkeypatch.setattr("oci_systemd.host.tree._clear", lambda *_: None)
    Tree(str(tmp_path)).commit([Change("/drop-in", "ours", None)])
    assert list(tmp_path.iterdir()) == []


def test_a_file_that_went_comes_back_as_it_was(tmp_path: Path) -> None:
    drop_in = tmp_path / "drop-in"
    drop_in.write_text("ours")
    drop_in.chmod(0o640)
    changes = [Change("/drop-in", "ours", None), Change("/other", None, "x")]
    with pytest.MonkeyPatch.context() as patch:
        rename = Path.rename
        patch.setattr(Path, "rename", lambda self, to: rename(self, to) if to == drop_in else kill())
        with pytest.raises(Problem, match="no file is changed"):
            Tree(str(tmp_path)).commit(changes)
    assert (drop_in.read_text(), drop_in.stat().st_mode & 0o7777) == ("ours", 0o640)
    assert not (tmp_path / "other").exists()


def kill() -> None:
    raise OSError(5, "Input/output error", "other")


def test_the_way_back_waits_for_another_of_us(tmp_path: Path) -> None:
    tree = Tree(str(tmp_path))
    with tree.alone(), pytest.raises(Problem, match="in use by another oci-systemd"):
        Tree(str(tmp_path)).commit([Change("/x", None, "x")], patience=0.2)
    holder = tree.alone()
    holder.__enter__()
    timer = threading.Timer(0.3, lambda: holder.__exit__(None, None, None))
    timer.start()
    Tree(str(tmp_path)).commit([Change("/x", None, "x")], patience=20)
    timer.join()
    assert (tmp_path / "x").read_text() == "x"
