"""Which calls go through the wrapper unchanged, and which ones start Python."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
from pathlib import Path
from typing import Any

import pytest

from oci_systemd.engines.launcher import paths_of, runtime_of, stub
from tests.shells.conftest import spec
from tests.shells.wrapper import GREP, PYTHON, ROOT, Wrapper, library

THROUGH = {
    "state": "state ID",
    "start": "start ID",
    "exec": "--root /r --log /l exec --process /p.json --detach --pid-file /x ID",
    "delete": "delete --force ID",
    "features": "features",
    "version": "--version",
    "nothing": "",
    "list": "--root /r list --format=json",
    "kill 9": "kill ID 9",
    "kill KILL": "kill ID KILL",
    "kill sigkill": "--root /r kill ID SIGKILL",
    "kill all 9": "kill --all ID 9",
    "kill 37": "kill ID 37",
    "kill 0": "kill ID 0",
}


@pytest.fixture
def shy(tmp_path: Path) -> Wrapper:
    """A wrapper whose interpreter is not there: whatever starts Python fails."""
    return Wrapper(tmp_path, python="/nowhere/python3")


@pytest.mark.parametrize("line", THROUGH.values(), ids=THROUGH)
def test_call_that_is_not_ours_starts_no_python(shy: Wrapper, line: str) -> None:
    result = shy.run(*line.split())
    assert (result.returncode, result.stdout, result.stderr) == (7, "", "")
    assert shy.words() == line.split()


UNWANTED = {
    "shell": spec("/bin/sh", "-c", "sleep 3600"),
    "busybox": spec("/bin/busybox", "init"),
    "tini": spec("/sbin/tini", "--", "/usr/bin/app"),
    "s6": spec("/init"),
    "s6 with words": spec("/init", "/usr/bin/app"),
    "podman's annotations": spec("sleep", annotations={"org.systemd.property.KillSignal": "15"}),
    "init in a longer name": spec("/sbin/init-app", "/sbin/initd", "/sbin/init_x"),
    "init in a folder": spec("sleep", process={"args": ["sleep"], "env": ["X=/srv/init/x"]}),
}


@pytest.mark.parametrize("bundle", ["--bundle B", "--bundle=B", "-b B", "-b=B", "-bundle B", "-bundle=B"])
@pytest.mark.parametrize("command", ["create", "run"])
@pytest.mark.parametrize("given", UNWANTED.values(), ids=UNWANTED)
def test_unwanted_container_keeps_its_bytes_and_starts_no_python(
    shy: Wrapper, given: dict[str, Any], command: str, bundle: str
) -> None:
    folder = shy.bundle(given)
    before = (folder / "config.json").read_bytes()
    words = [command, *bundle.replace("B", str(folder)).split(), "ID"]
    assert shy.run(*words).returncode == 7
    assert (shy.words(), (folder / "config.json").read_bytes()) == (words, before)


def test_settings_without_commands_start_no_python_for_an_unwanted_container(shy: Wrapper) -> None:
    shy.configure('[tmpfs]\nsize = "64m"\n# commands = ["x"]\n[log]\nlevel = "debug"\n')
    assert shy.run("create", "--bundle", shy.bundle(spec("sleep")), "ID").returncode == 7


def test_bundle_is_the_working_directory_where_none_is_named(shy: Wrapper, wrapper_python: str, tmp_path: Path) -> None:
    folder = shy.bundle(spec("sleep"))
    assert shy.run("create", "ID", cwd=folder).returncode == 7
    other = tmp_path / "other"
    other.mkdir()
    wrapper = Wrapper(other, python=wrapper_python)
    wrapper.configure('[log]\nfile = ""\n')
    folder = wrapper.bundle(spec("/sbin/init"))
    assert wrapper.run("create", "ID", cwd=folder).returncode == 7
    assert "container_uuid" in (folder / "config.json").read_text()


def test_shipped_settings_file_starts_no_python_for_an_unwanted_container(shy: Wrapper) -> None:
    shy.configure((ROOT / "packaging" / "config.toml").read_text())
    assert shy.run("create", "--bundle", shy.bundle(spec("sleep")), "ID").returncode == 7


@pytest.fixture
def wrapper_python() -> str:
    from tests.shells.wrapper import PYTHON

    return PYTHON


@pytest.mark.parametrize("what", ["missing", "directory", "FIFO"])
@pytest.mark.parametrize("command", ["create", "run"])
def test_config_that_is_no_file_is_the_real_runtime_s_to_report(
    shy: Wrapper, command: str, what: str, tmp_path: Path
) -> None:
    folder = tmp_path / "bundle"
    folder.mkdir()
    if what == "directory":
        (folder / "config.json").mkdir()
    elif what == "FIFO":
        os.mkfifo(folder / "config.json")
    assert shy.run(command, "--bundle", folder, "ID").returncode == 7


# Words that go through Python and those that do not; each must reach the real runtime as a direct call would.
FIDELITY = {
    "no python": ["state", "ID"],
    "unwanted create": ["create", "--bundle", "@PLAIN@", "ID"],
    "wanted create": ["create", "--bundle", "@WANTED@", "ID"],
    "help of create": ["create", "--help"],
    "help of run": ["run", "-h"],
    "exec of a command": ["exec", "ID", "create", "a b", "", "*", "ü", "-"],
    "kill of an unknown container": ["--root", "/r", "kill", "ID", "TERM"],
    "hundreds of words": ["exec", "ID", "kill", *(f"word {number}" for number in range(800))],
}


def _ignore(*numbers: int) -> Any:
    def prepare() -> None:
        for number in (signal.SIGPIPE, signal.SIGXFSZ):
            signal.signal(number, signal.SIG_DFL)
        for number in numbers:
            signal.signal(number, signal.SIG_IGN)
        signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGUSR1])
        os.umask(0o027)

    return prepare


HOW: dict[str, dict[str, Any]] = {
    "plainly": {"preexec_fn": _ignore(), "restore_signals": False},
    "with SIGPIPE ignored": {"preexec_fn": _ignore(signal.SIGPIPE), "restore_signals": False},
    "with more ignored": {
        "preexec_fn": _ignore(signal.SIGXFSZ, signal.SIGHUP, signal.SIGINT),
        "restore_signals": False,
    },
    "with an empty environment": {"env": {}, "preexec_fn": _ignore(), "restore_signals": False},
    "with a C locale": {"env": {"LC_ALL": "C", "PATH": "/usr/bin:/bin", "X": "a\nb", "Y": ""}},
    "with a poor PATH": {"env": {"PATH": "/nowhere"}},
    "in another directory": {"cwd": "/"},
}


@pytest.mark.parametrize("how", HOW.values(), ids=HOW)
@pytest.mark.parametrize("words", FIDELITY.values(), ids=FIDELITY)
def test_real_runtime_sees_what_a_direct_call_shows_it(wrapper: Wrapper, words: list[str], how: dict[str, Any]) -> None:
    bundles = {
        "@PLAIN@": wrapper.bundle(spec("sleep"), "plain"),
        "@WANTED@": wrapper.bundle(spec("/sbin/init"), "wanted"),
    }
    words = [str(bundles.get(word, word)) for word in words]
    direct = wrapper.direct(*words, **how)
    expected = wrapper.seen()
    result = wrapper.run(*words, **how)
    seen = wrapper.seen()
    assert _without_what_sh_adds(seen) == _without_what_sh_adds(expected)
    assert (result.returncode, result.stdout, result.stderr) == (direct.returncode, direct.stdout, direct.stderr)


def _without_what_sh_adds(seen: dict[str, str]) -> dict[str, object]:
    """A POSIX sh sets PWD (README lists it) and may reorder the environment; every other variable must be unchanged."""
    environ = sorted(entry for entry in seen[".environ"].split("\0") if not entry.startswith(("PWD=", "OLDPWD=")))
    return {**seen, ".environ": environ, ".fds": _fds(seen[".fds"])}


def test_descriptors_are_passed_as_they_are(wrapper: Wrapper) -> None:
    folder = wrapper.bundle(spec("/sbin/init"))
    reading, writing = os.pipe()
    words = ("create", "--bundle", folder, "--preserve-fds", "5", "ID")
    options: dict[str, Any] = {"pass_fds": (reading, writing)}
    wrapper.direct(*words, **options)
    expected = _fds(wrapper.seen()[".fds"])
    wrapper.run(*words, **options)
    assert _fds(wrapper.seen()[".fds"]) == expected


def _fds(text: str) -> str:
    """The numbers of the descriptors that are open; what the fake runtime opens itself lies from 10 on, or is in its folder."""
    rows = [line.split(" ", 1) for line in text.splitlines()]
    return " ".join(sorted(row[0] for row in rows if int(row[0]) < 10 and "/out/call" not in row[1]))


@pytest.mark.parametrize(
    "words", [["state", "ID"], ["create", "--bundle", "@", "ID"], ["kill", "ID"]], ids=["state", "create", "kill"]
)
@pytest.mark.parametrize("closed", ["0<&-", "1>&-", "2>&-", "0<&- 1>&- 2>&-"])
def test_closed_standard_descriptors_do_no_harm(wrapper: Wrapper, closed: str, words: list[str]) -> None:
    folder = wrapper.bundle(spec("/sbin/init"))
    words = [str(folder) if word == "@" else word for word in words]
    environ = {**os.environ, "OCI_SYSTEMD_CONFIG": str(wrapper.settings)}
    result = subprocess.run(
        ["sh", "-c", f'"$@" {closed}', "sh", wrapper.path, *words], env=environ, timeout=60, check=False
    )
    assert result.returncode == 7
    assert wrapper.words() == words
    assert ("container_uuid" in (folder / "config.json").read_text()) is ("create" in words)


@pytest.mark.parametrize(
    "words", [["state", "ID"], ["create", "--bundle", "@", "ID"], ["kill", "ID"]], ids=["state", "create", "kill"]
)
def test_deleted_working_directory_does_no_harm(wrapper: Wrapper, words: list[str], tmp_path: Path) -> None:
    folder = wrapper.bundle(spec("/sbin/init"))
    words = [str(folder) if word == "@" else word for word in words]
    script = f'mkdir {tmp_path}/gone && cd {tmp_path}/gone && rmdir {tmp_path}/gone && exec "$@"'
    environ = {**os.environ, "OCI_SYSTEMD_CONFIG": str(wrapper.settings)}
    result = subprocess.run(
        ["sh", "-c", script, "sh", wrapper.path, *words], env=environ, timeout=60, check=False, capture_output=True
    )
    assert (result.returncode, result.stdout) == (7, b"")
    assert wrapper.words() == words


@pytest.mark.parametrize("lost", ["@PYTHON@", "@LIB@", "frozen"])
@pytest.mark.parametrize("words", [["kill", "ID", "TERM"], ["create", "--bundle", "@", "ID"]], ids=["kill", "create"])
def test_stopping_and_what_is_not_ours_need_neither_python_nor_package(
    tmp_path: Path, words: list[str], lost: str
) -> None:
    """As in the middle of an upgrade. A container that names systemd somewhere, and is not wanted, has Python asked."""
    wrapper = Wrapper(tmp_path, python="/nowhere/python3") if lost == "@PYTHON@" else Wrapper(tmp_path)
    if lost != "@PYTHON@":
        package = tmp_path / "lib"
        package.mkdir()
        if lost == "frozen":
            shutil.copytree(f"{library()}/oci_systemd", package / "oci_systemd")
        wrapper.path.write_text(wrapper.path.read_text().replace(library(), str(package)))
    folder = wrapper.bundle(spec("cat", "/run/systemd/x", "/usr/lib/systemd"))
    words = [str(folder) if word == "@" else word for word in words]
    result = wrapper.run(*words)
    assert (result.returncode, result.stderr, wrapper.words()) == (7, "", words)


def test_exported_variables_are_left_alone(wrapper: Wrapper) -> None:
    names = "command config bundle runtime word wanted settings previous before unsure ignored stat lib call"
    environ = dict.fromkeys(names.split(), "theirs") | {
        "PATH": "/usr/bin:/bin",
        "OCI_SYSTEMD_CONFIG": str(wrapper.settings),
    }
    for words in (["state", "ID"], ["create", "--bundle", wrapper.bundle(spec("/sbin/init")), "ID"], ["kill", "ID"]):
        wrapper.run(*words, env=environ)
        seen = dict(entry.split("=", 1) for entry in wrapper.seen()[".environ"].split("\0") if entry)
        assert {name: value for name, value in seen.items() if name != "PWD"} == environ


@pytest.mark.parametrize("command", ["state ID", "create ID", "kill ID TERM"])
@pytest.mark.parametrize("runtime", ["/nowhere/runc", "no-such-runc", "etc", "/etc/passwd", "/tmp", "@SELF@", "@LINK@"])
def test_missing_runtime_or_ourselves_is_said_with_the_remedy(
    wrapper: Wrapper, runtime: str, command: str, tmp_path: Path
) -> None:
    (tmp_path / "link").symlink_to(wrapper.path)
    runtime = {"@SELF@": str(wrapper.path), "@LINK@": str(tmp_path / "link")}.get(runtime, runtime)
    result = wrapper.run(*command.split(), env={**os.environ, "OCI_SYSTEMD_RUNTIME": runtime})
    assert (result.returncode, result.stdout) == (1, "")
    assert result.stderr.startswith("oci-systemd: real runtime")
    assert result.stderr.count("\n") == 1
    assert "OCI_SYSTEMD_RUNTIME" in result.stderr


def test_no_other_variable_names_the_runtime(wrapper: Wrapper) -> None:
    assert wrapper.run("state", "ID", env={**os.environ, "osd_runtime": "/bin/false"}).returncode == 7


def test_runtime_in_the_environment_may_be_a_bare_name(wrapper: Wrapper) -> None:
    environ = {**os.environ, "OCI_SYSTEMD_RUNTIME": "fake-runc", "PATH": f"{wrapper.folder}:{os.environ['PATH']}"}
    assert wrapper.run("state", "ID", env=environ).returncode == 7


@pytest.fixture
def stubbed(tmp_path: Path) -> Wrapper:
    """A wrapper called by a stub for another runtime than its own, which is not there."""
    wrapper = Wrapper(tmp_path, runtime="/nowhere/runc")
    path, text = stub(str(wrapper.path), str(wrapper.runtime), "containerd", "systemd")
    wrapper.path = Path(path)
    wrapper.path.write_text(text)
    wrapper.path.chmod(0o755)
    return wrapper


def test_stub_has_its_own_runtime_behind_the_launcher(stubbed: Wrapper, systemd: dict[str, Any]) -> None:
    for words in (
        ["state", "ID"],
        ["kill", "ID", "9"],
        ["kill", "ID"],
        ["create", "--bundle", stubbed.bundle(systemd), "ID"],
    ):
        result = stubbed.run(*words)
        assert (result.returncode, result.stdout, result.stderr) == (7, "", "")
        assert stubbed.words() == [*map(str, words)]
    assert "tmpfs" in (stubbed.folder / "bundle/config.json").read_text()


def test_stub_and_launcher_tell_what_they_name(stubbed: Wrapper) -> None:
    launcher = stubbed.folder / "oci-systemd-runtime"
    assert paths_of(stubbed.path.read_text()) == [str(stubbed.runtime), str(launcher)]
    assert runtime_of(launcher.read_text()) == "/nowhere/runc"
    assert paths_of(launcher.read_text())[1:] == [PYTHON, library(), GREP]


def test_stub_in_front_of_itself_is_said(stubbed: Wrapper) -> None:
    stubbed.path.write_text(stubbed.path.read_text().replace(str(stubbed.runtime), str(stubbed.path)))
    assert stubbed.run("state", "ID").stderr.startswith("oci-systemd: real runtime")
