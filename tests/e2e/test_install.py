"""`make install` and `make uninstall`: which files go where, with which paths in them, and that all are removed."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.e2e.lab.product import call_make

SOURCE = Path(__file__).parents[2]
RUNTIME = "/usr/sbin/some-runtime"


def make(*words: str) -> subprocess.CompletedProcess[str]:
    return call_make(f"PYTHON={sys.executable}", *words)


def tree(top: Path) -> list[str]:
    return sorted(str(each.relative_to(top)) for each in top.rglob("*"))


@pytest.fixture(scope="module")
def staged(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An installation for a package: under DESTDIR, without what only the command line needs."""
    top = tmp_path_factory.mktemp("staged")
    done = make("install", "PREFIX=/usr", f"DESTDIR={top}", f"RUNTIME={RUNTIME}", "DEPENDENCIES=no")
    assert done.returncode == 0, done.stderr
    return top


@pytest.mark.parametrize("name", ["oci-systemd-runtime", "oci-systemd"])
def test_commands_are_executable_and_name_the_interpreter_itself(staged: Path, name: str) -> None:
    command = staged / "usr/bin" / name
    assert command.stat().st_mode & 0o777 == 0o755
    assert f"exec {os.path.realpath(sys.executable)} " in command.read_text()


def test_the_launcher_names_the_runtime_that_was_chosen(staged: Path) -> None:
    assert RUNTIME in (staged / "usr/bin/oci-systemd-runtime").read_text()


def test_no_placeholder_and_no_destdir_is_left_in_a_text(staged: Path) -> None:
    for each in (each for each in staged.rglob("*") if each.is_file() and each.suffix != ".pyc"):
        text = each.read_text(errors="replace")
        assert str(staged) not in text, each
        assert not any(f"@{name}@" in text for name in ("PYTHON", "LIB", "RUNTIME", "GREP", "BIN")), each


def test_compiled_files_are_trusted_whatever_the_time_stamps_say(staged: Path) -> None:
    compiled = list((staged / "usr/lib/oci-systemd").rglob("*.pyc"))
    assert len(compiled) == len(list((staged / "usr/lib/oci-systemd").rglob("*.py")))
    # PEP 552: the second word is 1 for a hash that is not checked against the source.
    assert {each.read_bytes()[4:8] for each in compiled} == {b"\1\0\0\0"}
    assert not any(str(staged).encode() in each.read_bytes() for each in compiled)


def test_hook_and_settings_are_in_a_directory_of_our_own(staged: Path) -> None:
    assert tree(staged / "usr/share") == [
        "oci-systemd",
        "oci-systemd/config.toml",
        "oci-systemd/hooks.d",
        "oci-systemd/hooks.d/oci-systemd.json",
        "oci-systemd/in-use",
    ]
    assert '"/usr/bin/oci-systemd"' in (staged / "usr/share/oci-systemd/hooks.d/oci-systemd.json").read_text()


def test_the_unit_names_the_command_and_is_not_enabled(staged: Path) -> None:
    assert tree(staged / "usr/lib/systemd") == ["system", "system/oci-systemd-nri.service"]
    assert (
        "ExecStart=/usr/bin/oci-systemd nri\n"
        in (staged / "usr/lib/systemd/system/oci-systemd-nri.service").read_text()
    )


def test_everybody_may_read_it_whatever_the_umask(tmp_path: Path) -> None:
    words = ["install", "PREFIX=/usr", f"DESTDIR={tmp_path}/root", f"RUNTIME={RUNTIME}", "DEPENDENCIES=no"]
    call = ["sh", "-c", 'umask 077; exec make -C "$0" "$@"', str(SOURCE), f"PYTHON={sys.executable}", *words]
    assert subprocess.run(call, check=False, capture_output=True).returncode == 0
    closed = [each for each in (tmp_path / "root").rglob("*") if not each.stat().st_mode & 0o004]
    assert [each.name for each in closed] == ["lock"]


def test_uninstall_leaves_nothing_and_touches_nothing_else(tmp_path: Path) -> None:
    other = tmp_path / "usr/bin/other"
    other.parent.mkdir(parents=True)
    other.touch()
    where = ("PREFIX=/usr", f"DESTDIR={tmp_path}", f"RUNTIME={RUNTIME}", "DEPENDENCIES=no")
    assert make("install", *where).returncode == 0
    assert make("uninstall", *where).returncode == 0
    assert tree(tmp_path) == ["usr", "usr/bin", "usr/bin/other"]


@pytest.mark.parametrize(
    ("program", "goes"), [("/usr/bin/oci-systemd-runtime.x.y", False), ("/opt/x/oci-systemd-runtime", True)]
)
def test_uninstall_is_refused_while_an_engine_calls_this_wrapper(program: str, goes: bool, tmp_path: Path) -> None:
    where = ("PREFIX=/usr", f"DESTDIR={tmp_path}", f"RUNTIME={RUNTIME}", "DEPENDENCIES=no")
    assert make("install", *where).returncode == 0
    record = tmp_path / "etc/oci-systemd/engines/docker.json"
    record.parent.mkdir(parents=True)
    record.write_text(json.dumps({"now": {"path": program}}, indent=2))
    done = make("uninstall", *where)
    assert ((done.returncode == 0), (tmp_path / "usr").exists()) == (goes, not goes)
    assert ("docker: still uses the wrapper; run: oci-systemd uninstall docker" in done.stderr) is not goes


LINE = '    BinaryName = "/usr/bin/oci-systemd-runtime"\n'
NAMING = {
    "containerd's file, migrated": ("etc/containerd/config.toml", LINE.replace('"', "'"), True),
    "a drop-in of k3s, a stub": (
        "var/lib/rancher/k3s/agent/etc/containerd/config.toml.d/x.toml",
        LINE.replace("runtime", "runtime.containerd.x"),
        True,
    ),
    "CRI-O's": ("etc/crio/crio.conf.d/x", 'runtime_path = "/usr/bin/oci-systemd-runtime"\n', True),
    "Docker's": ("etc/docker/daemon.json", '{"runtimes": {"x": {"path": "/usr/bin/oci-systemd-runtime"}}}', True),
    "a stub elsewhere": ("var/lib/oci-systemd/bin/oci-systemd-runtime.x.y", ". /usr/bin/oci-systemd-runtime\n", True),
    "a comment": ("etc/containerd/config.toml", f"#{LINE}", False),
    "another installation": ("etc/containerd/config.toml", LINE.replace("/usr/", "/opt/"), False),
    "another program": ("etc/containerd/config.toml", LINE.replace("runtime", "runtimes"), False),
}


@pytest.mark.parametrize(("file", "text", "stays"), NAMING.values(), ids=NAMING)
def test_uninstall_is_refused_while_a_file_of_an_engine_names_this_wrapper(
    file: str, text: str, stays: bool, tmp_path: Path
) -> None:
    where = ("PREFIX=/usr", f"DESTDIR={tmp_path}", f"RUNTIME={RUNTIME}", "DEPENDENCIES=no")
    assert make("install", *where).returncode == 0
    (tmp_path / file).parent.mkdir(parents=True)
    (tmp_path / file).write_text(text)
    done = make("uninstall", *where)
    assert ((done.returncode != 0), (tmp_path / "usr").exists()) == (stays, stays)
    assert (f"/{file}: still uses /usr/bin/oci-systemd-runtime" in done.stderr) is stays


def test_uninstall_keeps_the_directories_that_were_there(tmp_path: Path) -> None:
    (tmp_path / "root/opt/bin").mkdir(parents=True)
    where = ("PREFIX=/opt", f"DESTDIR={tmp_path}/root", f"RUNTIME={RUNTIME}", "DEPENDENCIES=no")
    assert make("install", *where).returncode == 0
    assert make("install", *where).returncode == 0
    assert make("uninstall", *where).returncode == 0
    assert tree(tmp_path) == ["root", "root/opt", "root/opt/bin"]


def test_without_its_dependencies_the_command_line_says_so(tmp_path: Path) -> None:
    where = (f"PREFIX={tmp_path}/p", "DEPENDENCIES=no")
    assert make("install", *where, "RUNTIME=/bin/true").returncode == 0
    done = subprocess.run([tmp_path / "p/bin/oci-systemd", "--version"], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr.count("\n"), "without DEPENDENCIES=no" in done.stderr) == (1, 1, True)


def test_without_a_runtime_it_says_so_and_installs_nothing(tmp_path: Path) -> None:
    done = make("install", f"DESTDIR={tmp_path}", "RUNTIME=")
    assert done.returncode != 0
    assert "no container runtime on PATH" in done.stderr
    assert tree(tmp_path) == []


def test_a_python_that_is_too_old_is_named(tmp_path: Path) -> None:
    done = make("install", f"DESTDIR={tmp_path}", f"RUNTIME={RUNTIME}", "PYTHON=/bin/false")
    assert done.returncode != 0
    assert "/bin/false: not Python 3.11 or later" in done.stderr
    assert tree(tmp_path) == []


def test_the_command_line_runs_with_what_was_installed_beside_it(tmp_path: Path) -> None:
    done = make("install", f"PREFIX={tmp_path}/here", "DESTDIR=", "RUNTIME=/bin/true")
    assert done.returncode == 0, done.stderr
    said = subprocess.run([tmp_path / "here/bin/oci-systemd", "--version"], env={}, capture_output=True, text=True)
    assert (said.returncode, said.stderr) == (0, "")
    assert "oci-systemd" in said.stdout
    assert make("uninstall", f"PREFIX={tmp_path}/here").returncode == 0
    assert tree(tmp_path) == []
