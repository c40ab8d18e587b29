"""`create`, `run` and `kill` through Python: the bundle, the log, and every way to fail."""

from __future__ import annotations

import contextlib
import io
import json
import logging
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from pythonjsonlogger.json import JsonFormatter
from pythonjsonlogger.orjson import OrjsonFormatter

from oci_systemd.nri.lines import Lines, logger
from tests.shells.conftest import spec
from tests.shells.wrapper import PYTHON, Wrapper, library

KEY = "io.systemd.container"
ID = "c0ffee" * 10 + "beef"


def create(
    wrapper: Wrapper, given: Any, *words: str, name: str = "bundle"
) -> tuple[subprocess.CompletedProcess[str], Path]:
    folder = given if isinstance(given, Path) else wrapper.bundle(given, name)
    return wrapper.run("create", "--bundle", folder, *words, ID), folder / "config.json"


def log_to(wrapper: Wrapper, settings: str = "") -> None:
    wrapper.configure(f'log.file = "{wrapper.log}"\n{settings}')


def logged(wrapper: Wrapper) -> list[dict[str, Any]]:
    return [json.loads(line) for line in wrapper.log.read_text().splitlines()] if wrapper.log.exists() else []


@pytest.mark.parametrize("words", [["create"], ["run"], ["run", "-d"], ["--root", "/r", "create"]])
def test_wanted_container_is_adjusted_before_the_real_runtime_starts(
    wrapper: Wrapper, systemd: dict[str, Any], words: list[str]
) -> None:
    folder = wrapper.bundle(systemd)
    result = wrapper.run(*words, "--bundle", folder, ID)
    assert (result.returncode, result.stdout, result.stderr) == (7, "", "")
    new = json.loads((folder / "config.json").read_text())
    assert f"container_uuid={ID[:32]}" in new["process"]["env"]
    assert [mount["destination"] for mount in new["mounts"]][2:] == ["/run", "/run/lock", "/tmp", "/var/log/journal"]
    assert new["annotations"] == {
        f"{KEY}.stop-signal": "SIGRTMIN+3",
        f"{KEY}.adjusted": new["annotations"][f"{KEY}.adjusted"],
    }


def test_second_create_changes_nothing(wrapper: Wrapper, systemd: dict[str, Any]) -> None:
    _, config = create(wrapper, systemd)
    before, inode = config.read_bytes(), config.stat().st_ino
    wrapper.run("create", "--bundle", config.parent, ID)
    assert (config.read_bytes(), config.stat().st_ino) == (before, inode)


def test_crun_s_config_names_the_file(wrapper: Wrapper, systemd: dict[str, Any]) -> None:
    folder = wrapper.bundle(spec("sleep"))
    (folder / "other.json").write_text(json.dumps(systemd))
    wrapper.run("create", "--config", folder / "other.json", "--bundle", folder, ID)
    assert "container_uuid" in (folder / "other.json").read_text()
    assert "container_uuid" not in (folder / "config.json").read_text()


def test_root_file_system_is_looked_at(wrapper: Wrapper, systemd: dict[str, Any]) -> None:
    folder = wrapper.bundle(
        {**systemd, "mounts": [*systemd["mounts"], {"destination": "/var/run", "type": "bind", "source": "/srv"}]}
    )
    (folder / "rootfs/var").mkdir()
    (folder / "rootfs/var/run").symlink_to("/run")
    create(wrapper, folder)
    destinations = [mount["destination"] for mount in json.loads((folder / "config.json").read_text())["mounts"]]
    assert destinations[2:] == ["/var/run", "/run/lock", "/tmp", "/var/log/journal"]


def test_busybox_init_keeps_its_bytes_and_is_reported(wrapper: Wrapper, systemd: dict[str, Any]) -> None:
    log_to(wrapper)
    folder = wrapper.bundle(systemd)
    (folder / "rootfs/sbin").mkdir()
    (folder / "rootfs/bin").mkdir()
    (folder / "rootfs/bin/busybox").write_bytes(b"\x7fELF" + b"\0" * 100)
    (folder / "rootfs/sbin/init").symlink_to("/bin/busybox")
    before = (folder / "config.json").read_bytes()
    create(wrapper, folder)
    assert (folder / "config.json").read_bytes() == before
    assert "/bin/busybox" in logged(wrapper)[0]["reason"]


def test_links_in_the_root_file_system_lead_nowhere_outside(
    wrapper: Wrapper, systemd: dict[str, Any], tmp_path: Path
) -> None:
    """A link to the host's own busybox-like program must be looked up inside: there it is missing, and trusted."""
    (tmp_path / "outside").write_bytes(b"\x7fELF" + b"\0" * 100)
    folder = wrapper.bundle(systemd)
    (folder / "rootfs/sbin").mkdir()
    (folder / "rootfs/sbin/init").symlink_to("/../../../../../../../.." + str(tmp_path / "outside"))
    _, config = create(wrapper, folder)
    assert "container_uuid" in config.read_text()


def test_image_s_chains_of_links_cost_no_time(wrapper: Wrapper, systemd: dict[str, Any]) -> None:
    folder = wrapper.bundle(
        {**systemd, "mounts": [*systemd["mounts"], *({"destination": f"/l0/{n}"} for n in range(20))]}
    )
    for number in range(260):
        (folder / "rootfs" / f"l{number}").symlink_to("x/../" * 800 + f"l{number + 1}")
    result = wrapper.run("create", "--bundle", folder, ID, timeout=10)
    assert result.returncode == 7


def test_link_that_hides_behind_many_parts_is_no_way_to_a_forbidden_tmpfs(
    wrapper: Wrapper, systemd: dict[str, Any]
) -> None:
    folder = wrapper.bundle({**systemd, "annotations": {f"{KEY}.tmpfs": "/run,/a/sys"}})
    for name, following in ("ab", "bc", "cd", "de"):
        (folder / "rootfs" / name).symlink_to("./" * 2040 + following)
    (folder / "rootfs/e").symlink_to("/proc")
    result, config = create(wrapper, folder)
    assert (result.returncode, "no tmpfs is allowed" in result.stderr) == (1, True)
    assert "tmpfs" not in json.loads(config.read_text())["mounts"][-1]["destination"]


def test_few_descriptors_hide_no_link(wrapper: Wrapper, systemd: dict[str, Any]) -> None:
    import resource

    mounts = [{"destination": f"/d/{number}"} for number in range(300)]
    annotations = {f"{KEY}.tmpfs": "/run,/yy/zz/sys"}
    folder = wrapper.bundle({**systemd, "mounts": [*systemd["mounts"], *mounts], "annotations": annotations})
    for number in range(300):
        (folder / "rootfs/d" / str(number)).mkdir(parents=True)
    (folder / "rootfs/yy").mkdir()
    (folder / "rootfs/yy/zz").symlink_to("/proc")
    few = {"preexec_fn": lambda: resource.setrlimit(resource.RLIMIT_NOFILE, (128, 128))}
    result = wrapper.run("create", "--bundle", folder, ID, **few)
    assert (result.returncode, "/proc/sys" in result.stderr) == (1, True)


def test_root_file_system_that_cannot_be_looked_at_is_no_empty_one(wrapper: Wrapper, systemd: dict[str, Any]) -> None:
    import resource

    folder = wrapper.bundle({**systemd, "mounts": [*systemd["mounts"], {"destination": "/d" * 40}]})
    (folder / "rootfs" / ("d/" * 40)).mkdir(parents=True)
    few = {"preexec_fn": lambda: resource.setrlimit(resource.RLIMIT_NOFILE, (16, 16))}
    result = wrapper.run("create", "--bundle", folder, ID, **few)
    assert (result.returncode, "cannot read" in result.stderr) == (1, True)


def test_leftover_of_another_process_of_a_living_pid_is_swept(wrapper: Wrapper, systemd: dict[str, Any]) -> None:
    folder = wrapper.bundle(systemd)
    for mark in ("1-1", f"{os.getpid()}-1", "4194303-5"):
        (folder / f".config.json.oci-systemd-{mark}").write_text("half")
    (folder / ".config.json.oci-systemd-mine").write_text("a person's")
    create(wrapper, folder)
    assert sorted(os.listdir(folder)) == [".config.json.oci-systemd-mine", "config.json", "rootfs"]


def test_crun_s_relative_config_lies_in_the_working_directory(wrapper: Wrapper, systemd: dict[str, Any]) -> None:
    folder = wrapper.bundle(spec("sleep"))
    (wrapper.folder / "my.json").write_text(json.dumps(systemd))
    wrapper.run("create", "--config", "my.json", "--bundle", folder, ID, cwd=wrapper.folder)
    assert "container_uuid" in (wrapper.folder / "my.json").read_text()


# --- refusals ---


REFUSED = {
    "wrong annotation": spec("sleep", annotations={KEY: "yes"}),
    "wrong value": spec("/sbin/init", annotations={f"{KEY}.tmpfs": "/proc/x"}),
    "not allowed": spec("/sbin/init", annotations={f"{KEY}.selinux": "spc_t"}),
    "asked without a PID namespace": spec(
        "sleep", annotations={KEY: "true"}, linux={"namespaces": [{"type": "cgroup"}]}
    ),
    "name with escapes": spec(
        "sleep", annotations={"io.kubernetes.container.name": "a\n\x1b[2J", f"{KEY}/a\n\x1b[2J": "\u202e" * 3}
    ),
    "long name": spec(
        "sleep", annotations={"io.kubernetes.container.name": "a" * 256_000, f"{KEY}/{'a' * 256_000}": "x"}
    ),
    "256 kB with escapes": spec("sleep", annotations={KEY: "\x1b[31m\n" * 32768 + '"'}),
}


@pytest.mark.parametrize("given", REFUSED.values(), ids=REFUSED)
@pytest.mark.parametrize("log_format", ["json", "text"])
def test_refused_container_is_said_where_the_engine_looks(
    wrapper: Wrapper, given: dict[str, Any], log_format: str
) -> None:
    log_to(wrapper)
    folder, log = wrapper.bundle(given), wrapper.folder / "runtime.log"
    before = (folder / "config.json").read_bytes()
    log.write_text("earlier\n")
    result = wrapper.run("--log", log, "--log-format", log_format, "create", "--bundle", folder, ID)
    assert (result.returncode, result.stdout, wrapper.words()) == (1, "", None)
    assert (folder / "config.json").read_bytes() == before
    earlier, line = log.read_text().splitlines()
    sentence = result.stderr.removesuffix("\n")
    assert (earlier, "\n" in sentence, sentence.isprintable(), len(sentence) < 5000) == ("earlier", False, True, True)
    if log_format == "json":
        entry = json.loads(line)
        assert (entry["level"], entry["msg"], sorted(entry)) == ("error", sentence, ["level", "msg", "time"])
    else:
        assert line.startswith("time=")
        assert " level=error msg=" in line
    assert [(entry["level"], entry["message"]) for entry in logged(wrapper)] == [("error", "refused")]


BROKEN = {
    "no TOML": "[log\n",
    "wrong value": "[log]\n\nlevel = 5\n",
    "unknown key": "[tmpfs]\nsizes = 1\n",
    "wrong value of a dotted key": "# why\nlog.level = 5\n",
    "dotted key outside a table": "tmpfs.size.x = 1\n",
    "dotted key of a table that a header made": "[tmpfs]\n[log]\ntmpfs.size = 5\n",
    "key twice": "tmpfs.copy_up = true\n[tmpfs]\ncopy_up = true\n",
}


@pytest.mark.parametrize("text", BROKEN.values(), ids=BROKEN)
def test_broken_settings_fail_what_is_wanted_with_file_and_line(
    wrapper: Wrapper, systemd: dict[str, Any], text: str
) -> None:
    wrapper.configure(text)
    result, _ = create(wrapper, systemd)
    assert result.returncode == 1
    assert str(wrapper.settings) in result.stderr
    assert "line" in result.stderr


FORMS = {
    "tables": '[log]\nfile = "LOG"\n[tmpfs]\npaths = ["/run/x"]\n[env]\ncontainer = "lab"\n',
    "dotted": 'log.file = "LOG"\ntmpfs.paths = ["/run/x"]\nenv . container = "lab" # ours\n',
    "both": 'log.file = "LOG"\nenv.container = "lab"\n\n[tmpfs]\npaths = ["/run/x"]\n',
    "as only tomllib reads it": "log = { file = 'LOG' }\ntmpfs.paths = ['/run/x']\nenv.\"container\" = 'lab'\n",
}


@pytest.mark.parametrize("text", FORMS.values(), ids=FORMS)
def test_settings_count_in_whatever_form_they_are_written(wrapper: Wrapper, systemd: dict[str, Any], text: str) -> None:
    wrapper.configure(text.replace("LOG", str(wrapper.log)))
    _, config = create(wrapper, systemd)
    new = json.loads(config.read_text())
    assert "container=lab" in new["process"]["env"]
    assert [mount["destination"] for mount in new["mounts"]][2:] == ["/run/x"]
    assert [entry["message"] for entry in logged(wrapper)] == ["adjusted"]


@pytest.mark.parametrize("how", ["broken", "deep", "directory", "unreadable", "missing", "FIFO", "not UTF-8"])
def test_broken_settings_fail_nothing_else(wrapper: Wrapper, systemd: dict[str, Any], how: str) -> None:
    wrapper.settings.unlink()
    if how == "directory":
        wrapper.settings.mkdir()
    elif how == "FIFO":
        os.mkfifo(wrapper.settings)
    elif how != "missing":
        wrapper.settings.write_bytes(
            {
                "broken": b"[x",
                "deep": b"tmpfs.size" + b".a" * 3000 + b" = 1\n",
                "unreadable": b"",
                "not UTF-8": b"\xff",
            }[how]
        )
    # `systemd` among the words has Python look at it, and find it unwanted
    unwanted = spec("cat", "/run/systemd/x")
    if how == "unreadable":
        wrapper.settings.chmod(0)
    result, config = create(wrapper, unwanted)
    assert (result.returncode, "container_uuid" in config.read_text()) == (7, False)
    if how != "unreadable" or os.geteuid():
        result, _ = create(wrapper, systemd, name="wanted")
        assert (result.returncode, str(wrapper.settings) in result.stderr) == (1, True)


# --- bad input ---

BAD: dict[str, bytes] = {
    "empty": b"",
    "not JSON": b'{"process": {"args": ["/sbin/init"]',
    "list": b'["/sbin/init"]',
    "invalid UTF-8": b'{"process": {"args": ["/sbin/init", "\xff"]}}',
    "the same key twice": b'{"process": {"args": ["/sbin/init"]}, "process": {}}',
    "NUL": b'{"process": {"args": ["/sbin/init", "\0"]}}',
    "deep": b'{"process": {"args": ["/sbin/init"]}, "x": ' + b"[" * 100_000 + b"]" * 100_000 + b"}",
    "huge": b'{"process": {"args": ["/sbin/init"]}, "x": "' + b"x" * 100_000_000 + b'"}',
}


@pytest.mark.parametrize("data", BAD.values(), ids=BAD)
def test_config_that_cannot_be_used_is_the_real_runtime_s_to_report(wrapper: Wrapper, data: bytes) -> None:
    log_to(wrapper)
    folder = wrapper.bundle({})
    (folder / "config.json").write_bytes(data)
    result, config = create(wrapper, folder)
    assert (result.returncode, result.stderr, config.read_bytes() == data) == (7, "", True)
    if data:  # of an empty file no Python is needed
        assert [(entry["level"], str(config) in entry["reason"]) for entry in logged(wrapper)] == [("warning", True)]


PLACES: dict[str, dict[str, Any]] = {
    "process": {"process": ["/sbin/init"]},
    "args": {"process": {"args": "/sbin/init"}},
    "an arg": {"process": {"args": ["/sbin/init", 5]}},
    "env": {"process": {"args": ["/sbin/init"], "env": {"A": "b"}}},
    "an env": {"process": {"args": ["/sbin/init"], "env": [5]}},
    "user": {"process": {"args": ["/sbin/init"], "user": 0}},
    "uid": {"process": {"args": ["/sbin/init"], "user": {"uid": "0"}}},
    "label": {"process": {"args": ["/sbin/init"], "selinuxLabel": 1}},
    "profile": {"process": {"args": ["/sbin/init"], "apparmorProfile": ["x"]}},
    "mounts": {"mounts": {}},
    "a mount": {"mounts": ["/run"]},
    "destination": {"mounts": [{"destination": 1}]},
    "type": {"mounts": [{"destination": "/x", "type": {}}]},
    "options": {"mounts": [{"destination": "/x", "options": "ro"}]},
    "an option": {"mounts": [{"destination": "/x", "options": [True]}]},
    "annotations": {"annotations": []},
    "an annotation": {"annotations": {"a": 1}},
    "root": {"root": "rootfs"},
    "root path": {"root": {"path": 5}},
    "readonly": {"root": {"path": "rootfs", "readonly": "yes"}},
    "linux": {"linux": "x"},
    "namespaces": {"linux": {"namespaces": {"pid": ""}}},
    "a namespace": {"linux": {"namespaces": ["pid"]}},
    "namespace type": {"linux": {"namespaces": [{"type": 1}]}},
    "namespace path": {"linux": {"namespaces": [{"type": "pid", "path": False}]}},
    "devices": {"linux": {"devices": {}}},
    "device path": {"linux": {"devices": [{"path": 1}]}},
    "resources": {"linux": {"resources": []}},
    "unified": {"linux": {"resources": {"unified": ["x"]}}},
    "a unified": {"linux": {"resources": {"unified": {"cgroup.max.descendants": 5}}}},
}


@pytest.mark.parametrize("changes", PLACES.values(), ids=PLACES)
def test_wrong_type_where_we_read_is_the_real_runtime_s_to_report(wrapper: Wrapper, changes: dict[str, Any]) -> None:
    log_to(wrapper)
    given = {**spec("/sbin/init"), **changes}
    result, config = create(wrapper, given)
    assert (result.returncode, result.stderr, json.loads(config.read_text())) == (7, "", given)
    assert [entry["level"] for entry in logged(wrapper)] == ["warning"]


def test_null_is_what_is_absent(wrapper: Wrapper, systemd: dict[str, Any]) -> None:
    absent = {"annotations": None, "linux": {**systemd["linux"], "devices": None, "resources": None}}
    _, config = create(wrapper, {**systemd, **absent, "process": {"args": ["/sbin/init"], "env": None, "user": None}})
    assert "container_uuid" in config.read_text()


# --- the file ---


def test_mode_and_owner_stay(wrapper: Wrapper, systemd: dict[str, Any]) -> None:
    folder = wrapper.bundle(systemd)
    config = folder / "config.json"
    config.chmod(0o640)
    if os.geteuid() == 0:
        os.chown(config, 1234, 4321)
    before = config.stat()
    create(wrapper, folder)
    after = config.stat()
    assert "container_uuid" in config.read_text()
    assert (after.st_mode, after.st_uid, after.st_gid) == (before.st_mode, before.st_uid, before.st_gid)


def test_linked_config_is_replaced_and_its_target_untouched(
    wrapper: Wrapper, systemd: dict[str, Any], tmp_path: Path
) -> None:
    folder = wrapper.bundle(systemd)
    target = tmp_path / "target.json"
    (folder / "config.json").rename(target)
    (folder / "config.json").symlink_to(target)
    (tmp_path / "link").symlink_to(folder)
    create(wrapper, tmp_path / "link")
    assert not (folder / "config.json").is_symlink()
    assert ("container_uuid" in (folder / "config.json").read_text(), "container_uuid" in target.read_text()) == (
        True,
        False,
    )


def test_full_disk_fails_with_a_sentence_and_the_old_file(wrapper: Wrapper, systemd: dict[str, Any]) -> None:
    """RLIMIT_FSIZE stands for the full disk: the write ends short, then fails (EFBIG), since Python ignores SIGXFSZ."""
    import resource

    folder = wrapper.bundle({**systemd, "pad": "x" * 10_000})
    before = (folder / "config.json").read_bytes()
    result = wrapper.run(
        "create", "--bundle", folder, ID, preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (4096, 4096))
    )
    assert (result.returncode, "cannot write" in result.stderr) == (1, True)
    assert os.listdir(folder) == ["config.json", "rootfs"] or sorted(os.listdir(folder)) == ["config.json", "rootfs"]
    assert (folder / "config.json").read_bytes() == before


@pytest.fixture
def open_wrapper() -> Iterator[Wrapper]:
    """A wrapper that everyone may call: its folder, its package and its interpreter, which may lie in root's home, are open."""
    with tempfile.TemporaryDirectory() as folder:
        Path(folder).chmod(0o755)
        Path(library()).chmod(0o755)
        yield Wrapper(Path(folder), python=os.path.realpath("/usr/bin/python3"))


def as_nobody() -> None:
    os.setgid(65534)
    os.setuid(65534)


@pytest.mark.engine
def test_without_the_permission_to_write_it_is_said_and_nothing_lost(
    open_wrapper: Wrapper, systemd: dict[str, Any]
) -> None:
    folder = open_wrapper.bundle(systemd)
    before = (folder / "config.json").read_bytes()
    result = open_wrapper.run("create", "--bundle", folder, ID, preexec_fn=as_nobody)
    assert (result.returncode, "Permission denied" in result.stderr) == (1, True)
    assert ((folder / "config.json").read_bytes(), sorted(os.listdir(folder))) == (before, ["config.json", "rootfs"])


@pytest.mark.engine
def test_unreadable_settings_fail_what_is_wanted_alone(open_wrapper: Wrapper, systemd: dict[str, Any]) -> None:
    open_wrapper.settings.chmod(0)
    open_wrapper.out.chmod(0o777)
    unwanted = open_wrapper.bundle(spec("cat", "/usr/lib/systemd", "systemd"), "unwanted")
    assert open_wrapper.run("create", "--bundle", unwanted, ID, preexec_fn=as_nobody).returncode == 7
    result = open_wrapper.run("create", "--bundle", open_wrapper.bundle(systemd), ID, preexec_fn=as_nobody)
    assert (result.returncode, f"{open_wrapper.settings}: cannot read" in result.stderr) == (1, True)


def test_read_only_config_is_replaced(wrapper: Wrapper, systemd: dict[str, Any]) -> None:
    folder = wrapper.bundle(systemd)
    (folder / "config.json").chmod(0o444)
    create(wrapper, folder)
    assert "container_uuid" in (folder / "config.json").read_text()
    assert (folder / "config.json").stat().st_mode & 0o777 == 0o444


@pytest.mark.engine
def test_truly_full_disk_and_read_only_file_system(wrapper: Wrapper, systemd: dict[str, Any], tmp_path: Path) -> None:
    disk = tmp_path / "disk"
    disk.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", disk], check=True)
    try:
        folder = wrapper.bundle({**systemd, "pad": "x" * 40_000}, name="disk/bundle")
        before = (folder / "config.json").read_bytes()
        for remount in ("rw", "ro"):
            subprocess.run(["mount", "-o", f"remount,{remount}", disk], check=True)
            result, config = create(wrapper, folder)
            assert (result.returncode, "cannot write" in result.stderr) == (1, True)
            assert (config.read_bytes(), sorted(os.listdir(folder))) == (before, ["config.json", "rootfs"])
    finally:
        subprocess.run(["umount", disk], check=True)


def test_a_hundred_creates_at_once(wrapper: Wrapper, systemd: dict[str, Any]) -> None:
    folders = [wrapper.bundle(systemd, name=f"bundle-{number}") for number in range(100)]
    with ThreadPoolExecutor(16) as pool:
        results = list(pool.map(lambda folder: create(wrapper, folder)[0].returncode, folders))
    texts = {(folder / "config.json").read_text() for folder in folders}
    assert (set(results), len(texts), "container_uuid" in texts.pop()) == ({7}, 1, True)
    assert {name for folder in folders for name in os.listdir(folder)} == {"config.json", "rootfs"}


def test_a_hundred_creates_of_one_bundle_leave_it_whole(wrapper: Wrapper, systemd: dict[str, Any]) -> None:
    folder = wrapper.bundle(systemd)
    with ThreadPoolExecutor(16) as pool:
        results = set(pool.map(lambda _: create(wrapper, folder)[0].returncode, range(100)))
    assert (results, "container_uuid" in json.loads((folder / "config.json").read_text())["process"]["env"][-1]) == (
        {7},
        True,
    )
    assert sorted(os.listdir(folder)) == ["config.json", "rootfs"]


ENTRY = f"""import sys; sys.path.insert(0, {library()!r})
from oci_systemd.runtime import main; main(*sys.argv[1:3], sys.argv[3:], '')"""


@pytest.mark.skipif(shutil.which("strace") is None, reason="needs strace, whose fault injection kills at a system call")
def test_killed_at_each_system_call_the_config_is_whole(wrapper: Wrapper, systemd: dict[str, Any]) -> None:
    """SIGKILL at every system call from the one that opens config.json to the last, by strace's fault injection."""
    folder = wrapper.bundle(systemd)
    config = folder / "config.json"
    old = config.read_bytes()
    call = [PYTHON, "-ISB", "-c", ENTRY, wrapper.runtime, wrapper.path, "create", "--bundle", folder, ID]
    environ = {"OCI_SYSTEMD_CONFIG": str(wrapper.settings)}
    trace = wrapper.folder / "trace"
    subprocess.run(["strace", "-qq", "-o", trace, *call], env=environ, check=False, timeout=60)
    new, lines = config.read_bytes(), trace.read_text().splitlines()
    names = [line.partition("(")[0] for line in lines]
    opened = next(index for index, line in enumerate(lines) if "config.json" in line and names[index] == "openat")
    ended = names.index("exit_group", opened)
    assert (new != old, "rename" in names[opened:ended]) == (True, True)
    outcomes = set()
    for index in range(opened, ended):
        config.write_bytes(old)
        inject = f"inject={names[index]}:signal=SIGKILL:when={names[: index + 1].count(names[index])}"
        killed = ["strace", "-qq", "-o", "/dev/null", "-e", inject, *call]
        assert subprocess.run(killed, env=environ, check=False, timeout=60).returncode == -signal.SIGKILL
        assert config.read_bytes() in (old, new)
        outcomes.add(config.read_bytes())
        subprocess.run(call, env=environ, check=False, timeout=60)
        assert (config.read_bytes(), sorted(os.listdir(folder))) == (new, ["config.json", "rootfs"])
    assert outcomes == {old, new}


# --- the log ---


def test_line_for_an_adjusted_container(wrapper: Wrapper, systemd: dict[str, Any]) -> None:
    log_to(wrapper)
    names = {
        "io.kubernetes.cri.container-type": "container",
        "io.kubernetes.cri.container-name": 'a"\n\x1b[0m',
        "io.kubernetes.cri.sandbox-name": "web",
        "io.kubernetes.cri.sandbox-namespace": "ns",
    }
    create(wrapper, {**systemd, "annotations": names})
    (entry,) = logged(wrapper)
    assert list(entry) == [
        "time",
        "level",
        "message",
        "container_id",
        "container_name",
        "pod",
        "reason",
        "edits",
        "warnings",
        "duration_ms",
    ]
    assert (entry["level"], entry["message"], entry["container_id"], entry["container_name"], entry["pod"]) == (
        "info",
        "adjusted",
        ID,
        'a"\n\x1b[0m',
        "ns/web",
    )
    assert len(entry["edits"]) >= 8
    assert wrapper.log.read_text().count("\n") == 1
    assert wrapper.log.read_text().isascii()


LEVELS = [
    ("error", "warned", 0),
    ("warning", "warned", 1),
    ("info", "left", 0),
    ("debug", "left", 1),
    ("warning", "adjusted", 0),
]


@pytest.mark.parametrize(("level", "what", "lines"), LEVELS)
def test_level_is_a_setting(wrapper: Wrapper, systemd: dict[str, Any], level: str, what: str, lines: int) -> None:
    log_to(wrapper, f'log.level = "{level}"\n')
    given = {
        "warned": spec("/sbin/init", linux={"namespaces": []}),
        "left": spec("cat", "/run/systemd/x"),
        "adjusted": systemd,
    }[what]
    create(wrapper, given)
    assert len(logged(wrapper)) == lines


@pytest.mark.parametrize("file", ["", "/nowhere/log", "/dev/full", "@FIFO@"])
def test_log_that_cannot_be_written_changes_nothing(wrapper: Wrapper, systemd: dict[str, Any], file: str) -> None:
    os.mkfifo(wrapper.folder / "fifo")
    wrapper.configure(f'log.file = "{file.replace("@FIFO@", str(wrapper.folder / "fifo"))}"\n')
    result, config = create(wrapper, systemd)
    assert (result.returncode, result.stderr, "container_uuid" in config.read_text()) == (7, "", True)


@pytest.fixture
def journal() -> Iterator[socket.socket]:
    """A journal's socket, where the wrapper looks for it."""
    path = Path(library()) / "journal"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listener:
        listener.bind(str(path))
        listener.settimeout(10)
        yield listener
    path.unlink()


def test_journal_gets_the_line_where_there_is_one(
    wrapper: Wrapper, systemd: dict[str, Any], journal: socket.socket
) -> None:
    log_to(wrapper)
    create(wrapper, systemd)
    fields = dict(line.split("=", 1) for line in journal.recv(1 << 20).decode().splitlines())
    assert (fields["PRIORITY"], fields["SYSLOG_IDENTIFIER"], logged(wrapper)) == ("6", "oci-systemd", [])
    assert json.loads(fields["MESSAGE"])["container_id"] == ID


def fill(listener: socket.socket) -> None:
    """Send to `listener` until it takes nothing more, whoever sends: one sender's own buffer may be full before."""
    sent = 1
    while sent:
        sent = 0
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as filler, contextlib.suppress(BlockingIOError):
            filler.setblocking(False)
            while True:
                sent += filler.sendto(b"x", listener.getsockname())


def test_journal_that_takes_nothing_is_not_waited_for(
    wrapper: Wrapper, systemd: dict[str, Any], journal: socket.socket
) -> None:
    log_to(wrapper)
    fill(journal)
    result, _ = create(wrapper, systemd)
    assert (result.returncode, len(logged(wrapper))) == (7, 1)


FORMATTERS: dict[str, Callable[..., logging.Formatter]] = {
    "json": partial(JsonFormatter, json_serializer=partial(json.dumps, separators=(",", ":"))),
    "orjson": OrjsonFormatter,
}


@pytest.mark.parametrize("formatted", FORMATTERS.values(), ids=FORMATTERS)
def test_line_is_python_json_logger_s(
    wrapper: Wrapper, systemd: dict[str, Any], formatted: Callable[..., logging.Formatter]
) -> None:
    """The same record through the library gives the same line."""
    log_to(wrapper)
    create(wrapper, systemd)
    line = wrapper.log.read_text()
    fields = json.loads(line)
    stream = io.StringIO()
    handler = logging.StreamHandler(stream)
    names = {"asctime": "time", "levelname": "level"}
    formatter = formatted("%(asctime)s %(levelname)s %(message)s", "%Y-%m-%dT%H:%M:%SZ", rename_fields=names)
    formatter.converter = time.gmtime
    handler.setFormatter(formatter)
    record = logging.LogRecord("oci-systemd", logging.INFO, "", 0, fields["message"], None, None)
    record.levelname = fields["level"]
    record.created = time.mktime(time.strptime(fields["time"], "%Y-%m-%dT%H:%M:%SZ")) - time.timezone
    rest = {name: value for name, value in fields.items() if name not in ("time", "level", "message")}
    record.__dict__.update(rest)
    handler.emit(record)
    assert json.loads(stream.getvalue()) == fields
    assert stream.getvalue() == line


def test_line_is_the_plugin_s(wrapper: Wrapper, systemd: dict[str, Any]) -> None:
    """What the wrapper makes by hand and what the plugin has made for it is the same text."""
    log_to(wrapper)
    systemd["annotations"] = {"io.kubernetes.container.name": "n\u00e4me \x7f\u2028\U0001f600", f"{KEY}.typo": "x"}
    create(wrapper, systemd)
    line = wrapper.log.read_text()
    assert "\\u00e4me \\u007f\\u2028\\ud83d\\ude00" in line
    told: list[tuple[str, str]] = []
    logger(Lines(told.append)).warning(json.loads(line))
    assert told == [("warning", line.removesuffix("\n"))]


# --- kill ---


@pytest.fixture
def init() -> Iterator[subprocess.Popen[bytes]]:
    """A process that blocks SIGRTMIN+3 as systemd does."""
    code = "import signal, time; signal.pthread_sigmask(signal.SIG_BLOCK, [37]); print('ready', flush=True); time.sleep(600)"
    process = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE)
    assert process.stdout
    process.stdout.readline()
    yield process
    process.kill()
    process.wait()


def state(wrapper: Wrapper, init_pid: int, **changes: Any) -> None:
    annotations = {f"{KEY}.adjusted": "0.1.0", f"{KEY}.stop-signal": "SIGRTMIN+3"}
    text = json.dumps({"id": ID, "status": "running", "pid": init_pid, "annotations": annotations, **changes})
    (wrapper.out / "state.json").write_text(text)


@pytest.mark.parametrize(
    "line", ["kill ID", "kill ID 15", "kill ID TERM", "kill ID sigterm", "kill ID 0015", "kill ID SIGTERM"]
)
def test_term_becomes_the_stop_signal(wrapper: Wrapper, init: subprocess.Popen[bytes], line: str) -> None:
    state(wrapper, init.pid)
    words = ["--root", "/r", "--log", "/l", "--systemd-cgroup", *line.split()]
    result = wrapper.run(*words)
    assert (result.returncode, result.stdout, result.stderr) == (7, "", "")
    assert wrapper.words() == ["--root", "/r", "--log", "/l", "--systemd-cgroup", "kill", "ID", "37"]
    assert wrapper.words("state") == ["--root", "/r", "--systemd-cgroup", "state", "ID"]


def test_stop_signal_of_the_container_is_sent(wrapper: Wrapper, init: subprocess.Popen[bytes]) -> None:
    code = "import signal, time; signal.signal(30, print); print('ready', flush=True); time.sleep(600)"
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE) as catcher:
        assert catcher.stdout
        catcher.stdout.readline()
        state(wrapper, catcher.pid, annotations={f"{KEY}.adjusted": "1", f"{KEY}.stop-signal": "SIGPWR"})
        wrapper.run("kill", "ID", "TERM")
        catcher.kill()
    assert wrapper.words() == ["kill", "ID", "30"]


DOUBTS: dict[str, dict[str, Any]] = {
    "not running": {"status": "created"},
    "paused": {"status": "paused"},
    "not ours": {"annotations": {f"{KEY}.stop-signal": "SIGRTMIN+3"}},
    "no signal": {"annotations": {f"{KEY}.adjusted": "1"}},
    "none": {"annotations": {f"{KEY}.adjusted": "1", f"{KEY}.stop-signal": "none"}},
    "no annotations": {"annotations": None},
    "no PID": {"pid": 0},
    "PID of nobody": {"pid": 2**22 + 1},
    "PID that is not a number": {"pid": "1"},
}


@pytest.mark.parametrize("changes", DOUBTS.values(), ids=DOUBTS)
def test_in_every_doubt_the_kill_passes_unchanged(
    wrapper: Wrapper, init: subprocess.Popen[bytes], changes: dict[str, Any]
) -> None:
    state(wrapper, init.pid, **changes)
    assert wrapper.run("kill", "ID", "TERM").returncode == 7
    assert wrapper.words() == ["kill", "ID", "TERM"]


@pytest.mark.parametrize("text", ["", "{", "[]", "null", "\xff", '{"status": "running"}', "x" * 100_000])
def test_state_that_makes_no_sense_passes_unchanged(wrapper: Wrapper, text: str) -> None:
    (wrapper.out / "state.json").write_text(text)
    assert wrapper.run("kill", "ID").returncode == 7
    assert wrapper.words() == ["kill", "ID"]


@pytest.mark.parametrize(
    "line",
    [
        "kill --all ID 15",
        "kill -a ID",
        "kill ID TERM --all",
        "kill -r ID TERM",
        "kill --regex ID TERM",
        "kill ID TERM x",
    ],
)
def test_kill_of_many_or_not_understood_passes_unchanged(
    wrapper: Wrapper, init: subprocess.Popen[bytes], line: str
) -> None:
    state(wrapper, init.pid)
    assert wrapper.run(*line.split()).returncode == 7
    assert (wrapper.words(), wrapper.words("state")) == (line.split(), None)


def test_state_that_hangs_is_not_waited_for_longer_than_its_bound(
    wrapper: Wrapper, init: subprocess.Popen[bytes]
) -> None:
    state(wrapper, init.pid)
    (wrapper.out / "state.delay").write_text("30")
    assert wrapper.run("kill", "ID", timeout=20).returncode == 7
    assert wrapper.words() == ["kill", "ID"]


def test_young_init_is_waited_for(wrapper: Wrapper) -> None:
    code = "import signal, time; time.sleep(0.4); signal.pthread_sigmask(signal.SIG_BLOCK, [37]); time.sleep(600)"
    with subprocess.Popen([sys.executable, "-c", code]) as young:
        state(wrapper, young.pid)
        wrapper.run("kill", "ID", "15")
        young.kill()
    assert wrapper.words() == ["kill", "ID", "37"]


def test_init_that_never_blocks_the_signal_gets_the_given_one(wrapper: Wrapper) -> None:
    with subprocess.Popen(["sleep", "600"]) as other:
        state(wrapper, other.pid)
        wrapper.run("kill", "ID", "15")
        other.kill()
    assert wrapper.words() == ["kill", "ID", "15"]
