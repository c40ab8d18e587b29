"""`oci-systemd install` and `uninstall` below a folder: output, written files, and unchanged files."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from oci_systemd.cli import cli
from oci_systemd.engines.engines import ENGINES

LAUNCHER = "usr/bin/oci-systemd-runtime"
TASK = "run/containerd/io.containerd.runtime.v2.task/k8s.io"
ID = "c0ffee" * 10 + "beef"
NOBODY = 65534


def run(root: Path, *words: str) -> Result:
    """One of the commands below `root`."""
    return CliRunner().invoke(cli, [words[0], "--root", str(root), *words[1:]])


def done(root: Path, *words: str) -> list[str]:
    """The lines of one that works and has nothing to complain about."""
    result = run(root, *words)
    assert (result.exit_code, result.stderr) == (0, ""), result.stderr
    return result.stdout.splitlines()


def refused(root: Path, *words: str) -> str:
    """The sentence of one that does not, and changes nothing."""
    before = files(root)
    result = run(root, *words)
    assert (result.exit_code, result.stdout) == (2, "")
    assert files(root) == before
    assert result.stderr.startswith("oci-systemd: ")
    assert result.stderr.count("\n") == 1
    return result.stderr


def files(root: Path) -> dict[str, tuple[str, bytes | str]]:
    """All that is below a root: the mode of each, and its bytes or where it leads."""
    found: dict[str, tuple[str, bytes | str]] = {}
    for path in sorted(root.rglob("*")):
        mode = oct(path.lstat().st_mode)
        if path.is_symlink():
            found[str(path.relative_to(root))] = mode, str(path.readlink())
        else:
            found[str(path.relative_to(root))] = mode, path.read_bytes() if path.is_file() else b""
    return found


def program(path: Path, text: str = "#!/bin/sh\n") -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    path.chmod(0o755)
    return path


def config(path: Path, text: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    return path


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A machine with our launcher in front of runc, crun as well, and every engine."""
    program(tmp_path / LAUNCHER, "#!/bin/sh\nosd_runtime=${osd_runtime:-/usr/sbin/runc}\n")
    for name in ("sbin/runc", "bin/crun", "bin/containerd", "bin/crio", "bin/dockerd", "bin/podman"):
        program(tmp_path / "usr" / name)
    (tmp_path / "etc").mkdir()
    (tmp_path / "usr/share/oci-systemd/hooks.d").mkdir(parents=True)
    return tmp_path


DRY = ("--dry-run",)
UNASKED = {"crio": "CRI-O"}  # the title, where it is another one
WRITTEN = {
    "containerd": ["/etc/oci-systemd/engines/containerd.json", "/etc/containerd/config.toml"],
    "crio": [
        "/etc/oci-systemd/engines/crio.json",
        "/usr/bin/oci-systemd-runtime.crio.systemd",
        "/etc/crio/crio.conf.d/50-oci-systemd.conf",
    ],
    "docker": ["/etc/oci-systemd/engines/docker.json", "/etc/docker/daemon.json"],
    "podman": [
        "/etc/oci-systemd/engines/podman.json",
        "/usr/bin/oci-systemd-runtime.podman.systemd",
        "/etc/containers/containers.conf.d/50-oci-systemd.conf",
    ],
}
NEXT = {
    "containerd": ["next: systemctl restart containerd"],
    "crio": ["next: systemctl restart crio"],
    "docker": ["next: systemctl reload docker"],
    "podman": [],
}


@pytest.mark.parametrize("engine", ENGINES)
def test_what_is_written_is_told_and_taken_back(engine: str, root: Path) -> None:
    before = files(root)
    assert done(root, "install", engine) == [
        *(f"wrote {path}" for path in WRITTEN[engine]),
        f"{UNASKED.get(engine, engine)} was not asked: its files were read",
        *NEXT[engine],
    ]
    assert done(root, "install", engine) == [f"{engine}: handler systemd is up to date; nothing to do"]
    after = files(root)
    lines = done(root, "uninstall", engine)
    assert sorted(line for line in lines if line.startswith("removed")) == sorted(
        f"removed {path}" for path in WRITTEN[engine]
    )
    assert lines[-1:] == [each.replace("reload", "restart") for each in NEXT[engine]] or engine == "podman"
    assert files(root) == before
    assert after != before


@pytest.mark.parametrize("engine", ENGINES)
def test_dry_run_prints_the_difference_and_writes_nothing(engine: str, root: Path) -> None:
    before = files(root)
    lines = done(root, "install", *DRY, engine)
    assert [line[4:] for line in lines if line.startswith("+++ ")] == WRITTEN[engine][1:]
    more = done(root, "install", *DRY, "-v", engine)
    assert [line[4:] for line in more if line.startswith("+++ ")] == WRITTEN[engine]
    assert any(LAUNCHER in line for line in lines if line.startswith("+"))
    assert files(root) == before
    done(root, "install", engine)
    before = files(root)
    assert done(root, "install", *DRY, engine) == [f"{engine}: handler systemd is up to date; nothing to do"]
    lines = done(root, "uninstall", *DRY, engine)
    assert sorted(line[4:] for line in lines if line.startswith("+++ ")) == sorted(WRITTEN[engine][1:])
    assert not any(line.startswith("+") for line in lines if not line.startswith("+++"))
    assert files(root) == before


def test_dry_run_shows_only_what_changes(root: Path) -> None:
    config(root / "etc/docker/daemon.json", '{\n  "debug": true,\n  "x": 1\n}\n')
    text = "\n".join(done(root, "install", *DRY, "docker"))
    assert '   "debug": true,\n-  "x": 1\n+  "x": 1,\n+  "runtimes": {\n' in text


@pytest.mark.parametrize("engine", ENGINES)
def test_default_is_set_and_given_up(engine: str, root: Path) -> None:
    before = files(root)
    done(root, "install", engine, "--default")
    text = (root / WRITTEN[engine][-1][1:]).read_text()
    assert {
        "containerd": 'default_runtime_name = "systemd"',
        "crio": 'default_runtime = "systemd"',
        "docker": '"default-runtime": "systemd"',
        "podman": 'runtime = "systemd"',
    }[engine] in text
    assert done(root, "install", engine, "--default") == [f"{engine}: handler systemd is up to date; nothing to do"]
    done(root, "install", engine)
    assert "default" not in (root / WRITTEN[engine][-1][1:]).read_text()
    done(root, "uninstall", engine)
    assert files(root) == before


def test_default_has_the_runtime_behind_it_that_was_the_default(root: Path) -> None:
    """Installed again, the runtime is still the engine's own default: for CRI-O runc, though crun comes first elsewhere."""
    config(
        root / "etc/crio/crio.conf",
        '[crio.runtime]\ndefault_runtime = "runc"\n[crio.runtime.runtimes.runc]\nruntime_path = "/usr/sbin/runc"\n'
        '[crio.runtime.runtimes.crun]\nruntime_path = "/usr/bin/crun"\n',
    )
    done(root, "install", "crio", "--default")
    assert done(root, "install", "crio", "--default") == ["crio: handler systemd is up to date; nothing to do"]
    assert not list((root / "usr/bin").glob("oci-systemd-runtime.*"))


# The real runtime


def test_another_runtime_gets_a_stub(root: Path) -> None:
    before = files(root)
    done(root, "install", "docker", "--runtime", "crun")
    stub = root / "usr/bin/oci-systemd-runtime.docker.systemd"
    assert oct(stub.stat().st_mode) == "0o100755"
    assert stub.read_text().splitlines()[2:] == ["osd_runtime=/usr/bin/crun", ". /usr/bin/oci-systemd-runtime"]
    assert (
        json.loads((root / "etc/docker/daemon.json").read_text())["runtimes"]["systemd"]["path"]
        == f"/{stub.relative_to(root)}"
    )
    assert done(root, "install", "docker", "--runtime", "/usr/bin/crun") == [
        "docker: handler systemd is up to date; nothing to do"
    ]
    assert f"removed /{stub.relative_to(root)}" in done(root, "install", "docker", "--runtime", "runc")
    assert json.loads((root / "etc/docker/daemon.json").read_text())["runtimes"]["systemd"]["path"] == f"/{LAUNCHER}"
    done(root, "install", "docker", "--runtime", "crun")
    done(root, "uninstall", "docker")
    assert files(root) == before


def test_runtime_that_is_the_launcher_s_own_by_a_link_needs_no_stub(root: Path) -> None:
    (root / "usr/bin/runc").symlink_to("../sbin/runc")
    done(root, "install", "docker", "--runtime", "/usr/bin/runc")
    assert not list((root / "usr/bin").glob("oci-systemd-runtime.*"))


@pytest.mark.parametrize("handler", ["json", "toml", "conf", "tmpl"])
def test_stub_of_a_handler_with_an_odd_name(handler: str, root: Path) -> None:
    before = files(root)
    done(root, "install", "docker", "--handler", handler, "--runtime", "crun", "--default")
    assert (root / f"usr/bin/oci-systemd-runtime.docker.{handler}").read_text().startswith("#!/bin/sh\n")
    done(root, "uninstall", "docker", "--handler", handler)
    assert files(root) == before


RUNTIMES = {
    "one that is not there": ("kata", "real runtime 'kata': not found"),
    "a path that is not": ("/opt/kata", "real runtime '/opt/kata': not found"),
    "a relative path": ("./runc", "--runtime './runc': invalid; use an absolute path"),
    "a file that is not executable": ("/etc/passwd", "not found, or is"),
    "ourselves": (f"/{LAUNCHER}", "not found, or is oci-systemd-runtime itself"),
    "ourselves by a link": ("/usr/bin/link", "not found, or is oci-systemd-runtime itself"),
    "a path that no script holds": ("/opt/my crun", "unsupported in a script"),
}


@pytest.mark.parametrize(("runtime", "said"), RUNTIMES.values(), ids=RUNTIMES)
def test_runtime_that_cannot_be_behind_it_is_told(runtime: str, said: str, root: Path) -> None:
    config(root / "etc/passwd", "")
    (root / "usr/bin/link").symlink_to("oci-systemd-runtime")
    program(root / "opt/my crun")
    assert said in refused(root, "install", "docker", "--runtime", runtime)


def test_runtime_that_is_gone_is_told(root: Path) -> None:
    (root / "usr/sbin/runc").unlink()
    assert "real runtime '/usr/sbin/runc': not found" in refused(root, "install", "docker")


def test_k3s_brings_its_own_runtime(root: Path) -> None:
    (root / "usr/bin/containerd").unlink()
    data = root / "var/lib/rancher/k3s"
    program(data / "data/current/bin/runc")
    config(data / "agent/etc/containerd/config.toml", "version = 3\nimports = ['config-v3.toml.d/*.toml']\n")
    assert done(root, "install", "containerd")[-1] == "next: systemctl restart k3s"
    stub = root / "usr/bin/oci-systemd-runtime.containerd.systemd"
    assert "osd_runtime=/var/lib/rancher/k3s/data/current/bin/runc\n" in stub.read_text()
    (root / "etc/systemd/system").mkdir(parents=True)
    (root / "etc/systemd/system/k3s-agent.service").touch()
    assert done(root, "install", "containerd", "--handler", "other")[-1] == "next: systemctl restart k3s-agent"


def test_k3s_without_drop_ins_gets_the_stub_into_its_template(root: Path) -> None:
    (root / "usr/bin/containerd").unlink()
    folder = root / "var/lib/rancher/k3s/agent/etc/containerd"
    config(folder / "config.toml", "version = 2\n")
    before = files(root)
    done(root, "install", "containerd", "--runtime", "crun")
    template = (folder / "config.toml.tmpl").read_text()
    assert template.startswith('{{ template "base" . }}\n\n# oci-systemd: begin\n')
    assert 'BinaryName = "/usr/bin/oci-systemd-runtime.containerd.systemd"' in template
    assert done(root, "install", "containerd", "--runtime", "crun")[-1].endswith("nothing to do")
    done(root, "install", "containerd", "--runtime", "runc")
    assert f'BinaryName = "/{LAUNCHER}"' in (folder / "config.toml.tmpl").read_text()
    done(root, "uninstall", "containerd")
    assert files(root) == before


# The launcher

LAUNCHERS = {
    "not there": ("", "oci-systemd-runtime: not found under"),
    "named, not there": ("/opt/x", "oci-systemd-runtime: not found at /opt/x under"),
    "another program": ("/usr/bin/crun", "oci-systemd-runtime: not found at /usr/bin/crun"),
    "a binary": ("/usr/bin/binary", "oci-systemd-runtime: not found at /usr/bin/binary"),
    "a relative path": ("usr/bin/x", "--launcher 'usr/bin/x': invalid; use an absolute path"),
    "an odd path": ("/a\x1b[2J", "invalid; use an absolute path of printable letters"),
}


@pytest.mark.parametrize(("launcher", "said"), LAUNCHERS.values(), ids=LAUNCHERS)
def test_launcher_that_is_none_is_told(launcher: str, said: str, root: Path) -> None:
    (root / LAUNCHER).unlink()
    program(root / "usr/bin/binary").write_bytes(b"\x7fELF\xff\xfe")
    assert said in refused(root, "install", "docker", "--launcher", launcher)


@pytest.mark.parametrize("place", ["usr/local/bin", "opt/oci-systemd/bin", "."])
def test_launcher_is_found_or_named(place: str, root: Path) -> None:
    path = root / place / "oci-systemd-runtime"
    path.parent.mkdir(parents=True, exist_ok=True)
    (root / LAUNCHER).rename(path)
    named = ["--launcher", f"/{path.relative_to(root)}"] if place == "." else []
    done(root, "install", "docker", *named)
    assert f'"/{path.relative_to(root)}"' in (root / "etc/docker/daemon.json").read_text()


def test_launcher_is_named_by_its_own_folder_not_by_a_link_to_it(root: Path) -> None:
    """/bin is a link on every merged /usr, and the hooks lie beside the launcher."""
    (root / "bin").symlink_to("usr/bin")
    done(root, "install", "podman", "--hook")
    assert f'["/{LAUNCHER}"]' in (root / "etc/containers/containers.conf.d/50-oci-systemd.conf").read_text().replace(
        ".podman.systemd", ""
    )


def test_launcher_beside_the_installed_package_comes_first(root: Path) -> None:
    package = root / "opt/own/lib/oci-systemd/versions/1"
    package.mkdir(parents=True)
    (package / "oci_systemd").symlink_to(Path(__file__).parents[2] / "oci_systemd")
    (root / "opt/own/bin").mkdir()
    shutil.copy(root / LAUNCHER, root / "opt/own/bin")
    words = ["install", "docker", "--dry-run", "--config", f"{root}/daemon.json", "--runtime", f"{root}/usr/bin/crun"]
    code = f"import sys; sys.path[:0] = [{str(package)!r}]; from oci_systemd.cli import cli; cli.main({words!r})"
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert f'+      "path": "{root}/opt/own/bin/oci-systemd-runtime.docker.systemd"' in result.stdout


def test_hooks_are_podman_s_and_beside_the_launcher(root: Path) -> None:
    assert "--hook: unsupported with" in refused(root, "install", "docker", "--hook")
    done(root, "install", "podman", "--hook")
    text = (root / "etc/containers/containers.conf.d/50-oci-systemd.conf").read_text()
    assert 'hooks_dir = ["/usr/share/containers/oci/hooks.d", "/usr/share/oci-systemd/hooks.d"]' in text
    done(root, "uninstall", "podman")
    shutil.rmtree(root / "usr/share/oci-systemd")
    assert "hooks: not found beside /usr/bin/oci-systemd-runtime" in refused(root, "install", "podman", "--hook")
    (root / LAUNCHER).rename(root / "oci-systemd-runtime")
    assert "hooks: not found beside /oci-systemd-runtime" in refused(
        root, "install", "podman", "--hook", "--launcher", "/oci-systemd-runtime"
    )


# Which engine, which file


def test_two_engines_are_named_both(root: Path) -> None:
    main = "/var/lib/rancher/k3s/agent/etc/containerd/config.toml"
    config(root / main[1:], "version = 3\nimports = ['config-v3.toml.d/*.toml']\n")
    sentence = refused(root, "install", "containerd")
    assert "--config /etc/containerd/config.toml (containerd)" in sentence
    assert f"--config {main} (k3s)" in sentence
    program(root / "var/lib/rancher/k3s/data/current/bin/runc")
    assert "next: systemctl restart k3s" in done(root, "install", "containerd", "--config", main)
    assert "next: systemctl restart k3s" in done(root, "uninstall", "containerd")


def test_engine_that_is_not_here_is_told(root: Path) -> None:
    (root / "usr/bin/dockerd").unlink()
    assert "docker: not found" in refused(root, "install", "docker")
    assert done(root, "install", "docker", "--config", "/srv//docker/./daemon")[1] == "wrote /srv/docker/daemon"
    assert json.loads((root / "srv/docker/daemon").read_text())["runtimes"]


@pytest.mark.parametrize("given", ["daemon.json", "./x", "", " "])
def test_config_is_a_full_path(given: str, root: Path) -> None:
    if given:
        assert "--config" in refused(root, "install", "docker", "--config", given)
    else:
        done(root, "install", "docker", "--config", given)


def test_moving_to_another_file_leaves_the_first_as_it_was(root: Path) -> None:
    first = config(root / "etc/docker/daemon.json", "{}")
    done(root, "install", "docker")
    done(root, "install", "docker", "--config", "/srv/daemon.json")
    assert first.read_text() == "{}"
    done(root, "uninstall", "docker")
    assert not (root / "srv").exists()


@pytest.mark.parametrize("handler", ["", "A", "a b", "../x", "a.b", "x" * 64, "ä", "--", "\x1b[31m"])
def test_handler_that_is_no_name_is_told(handler: str, root: Path) -> None:
    result = run(root, "install", "docker", f"--handler={handler}")
    assert (result.exit_code, result.stdout, result.stderr.count("\n")) == (2, "", 1)
    assert "invalid; use up to 63" in result.stderr
    assert "\x1b" not in result.stderr


def test_damaged_file_is_told_with_its_place(root: Path) -> None:
    config(root / "etc/docker/daemon.json", '{\n  "debug": true,\n}\n')
    assert "/etc/docker/daemon.json: invalid JSON: " in (sentence := refused(root, "install", "docker"))
    assert "line 3, column 1; correct the file" in sentence


def test_two_handlers_side_by_side(root: Path) -> None:
    before = files(root)
    done(root, "install", "containerd")
    done(root, "install", "containerd", "--handler", "init", "--runtime", "crun", "--default")
    assert done(root, "uninstall", "containerd", "--handler", "x") == [
        "containerd: handler x is not installed (installed: init, systemd); nothing to do"
    ]
    done(root, "uninstall", "containerd")
    done(root, "uninstall", "containerd", "--handler", "init")
    assert files(root) == before


@pytest.mark.parametrize("engine", ENGINES)
def test_taking_back_what_was_not_installed_is_no_error(engine: str, root: Path) -> None:
    before = files(root)
    assert done(root, "uninstall", engine) == [
        f"{engine}: handler systemd is not installed: already gone; nothing to do"
    ]
    assert done(root, "uninstall", *DRY, "--restart", "auto", engine)
    assert files(root) == before


def test_changes_of_others_are_kept_and_told(root: Path) -> None:
    path = config(root / "etc/docker/daemon.json", '{"default-runtime": "runc"}')
    done(root, "install", "docker", "--default")
    path.write_text(path.read_text().replace('"default-runtime": "systemd"', '"default-runtime": "kata"'))
    result = run(root, "uninstall", "docker")
    assert (result.exit_code, path.read_text()) == (0, '{"default-runtime": "kata"}')
    assert (
        result.stderr
        == "oci-systemd: /etc/docker/daemon.json: default-runtime: changed since install; left unchanged ('kata')\n"
    )


# Containers that still call us


def bundle(root: Path, name: str = ID, runtime: str = f"/{LAUNCHER}", task: str = TASK) -> Path:
    return config(root / task / name / "runtime", runtime)


def test_handler_in_use_stays_unless_forced(root: Path) -> None:
    before = files(root)
    done(root, "install", "containerd")
    for name in ("a", "b", "c", "d"):
        bundle(root, name + ID)
    sentence = refused(root, "uninstall", "containerd")
    assert "4 containers of containerd still use the wrapper (ac0ffeec0ffe, bc0ffeec0ffe, cc0ffeec0ffe, …)" in sentence
    assert "--force" in sentence
    assert done(root, "uninstall", *DRY, "containerd")
    done(root, "uninstall", "containerd", "--force")
    shutil.rmtree(root / "run")
    assert files(root) == before


USES = {
    "one": ({}, "a container of containerd still uses the wrapper"),
    "another program": ({"runtime": "/usr/sbin/runc"}, ""),
    "Docker's": ({"task": TASK.replace("k8s.io", "moby")}, ""),
    "k3s's": ({"task": TASK.replace("run/containerd", "run/k3s/containerd")}, "a container of"),
    "another namespace": ({"task": TASK.replace("k8s.io", "default"), "runtime": f"/{LAUNCHER}\n"}, "a container of"),
    "no text": ({"runtime": "\x00\x01"}, ""),
    "far too long": ({"runtime": f"/{LAUNCHER}" * 9999}, ""),
}


@pytest.mark.parametrize(("given", "said"), USES.values(), ids=USES)
def test_who_counts_as_a_user(given: dict[str, str], said: str, root: Path) -> None:
    done(root, "install", "containerd")
    bundle(root, **given)
    if said:
        assert said in refused(root, "uninstall", "containerd")
    else:
        done(root, "uninstall", "containerd")


def test_a_fifo_where_a_runtime_is_told_holds_up_nothing(root: Path) -> None:
    done(root, "install", "containerd")
    path = bundle(root)
    path.unlink()
    os.mkfifo(path)
    done(root, "uninstall", "containerd")


def test_containers_of_docker_hold_docker_s_runtime(root: Path) -> None:
    done(root, "install", "docker")
    bundle(root, task=TASK.replace("k8s.io", "moby"))
    assert "a container of docker" in refused(root, "uninstall", "docker")


MONITORS = {
    "podman's conmon": ("podman", ["/usr/bin/conmon", "-c", ID, "-r", "PROGRAM", "--exit-command", "/usr/bin/podman"]),
    "CRI-O's conmon": ("crio", ["/usr/libexec/crio/conmon", "-b", "/x", "-c", ID, "-r", "PROGRAM"]),
    "CRI-O's conmonrs": ("crio", ["/x/conmonrs", "--runtime", "PROGRAM", "--runtime-dir", f"/run/o/{ID}/userdata"]),
}


@pytest.mark.parametrize(("engine", "words"), MONITORS.values(), ids=MONITORS)
def test_containers_of_a_monitor_hold_its_runtime(engine: str, words: list[str], root: Path) -> None:
    done(root, "install", engine, "--runtime", "runc")
    command = "\0".join(words).replace("PROGRAM", f"/{LAUNCHER}") + "\0"
    config(root / "proc/1/cmdline", "/sbin/init")
    config(root / "proc/1/status", "Name:\tinit\n")
    config(root / "proc/7/cmdline", command)
    config(root / "proc/8/cmdline", "")
    config(root / "proc/9/cmdline", "/usr/bin/conmon\0-c")
    assert f"a container of {engine} still uses the wrapper (c0ffeec0ffee)" in refused(root, "uninstall", engine)
    other = {"podman": "crio", "crio": "podman"}[engine]
    done(root, "install", other, "--runtime", "runc")
    done(root, "uninstall", other)
    config(root / "proc/7/cmdline", command.replace(LAUNCHER, "usr/sbin/runc"))
    done(root, "uninstall", engine)


def test_stub_in_use_is_not_removed_by_an_install_without_it(root: Path) -> None:
    done(root, "install", "containerd", "--runtime", "crun")
    bundle(root, runtime="/usr/bin/oci-systemd-runtime.containerd.systemd")
    sentence = refused(root, "install", "containerd")
    assert "a container of containerd still uses the wrapper" in sentence
    assert "--force" not in sentence
    done(root, "install", "containerd", "--runtime", "crun")
    done(root, "install", "containerd", "--runtime", "crun", "--default")


# What the machine does not allow


@pytest.fixture
def closed() -> Iterator[Path]:
    """A root that nobody may look into, but for what a test opens; not below pytest's, which is closed itself."""
    folder = Path(tempfile.mkdtemp(prefix="oci-systemd-", dir="/tmp"))
    folder.chmod(0o755)
    for name in (LAUNCHER, "usr/sbin/runc", "usr/bin/dockerd"):
        program(
            folder / name,
            "#!/bin/sh\nosd_runtime=${osd_runtime:-/usr/sbin/runc}\n" if name == LAUNCHER else "#!/bin/sh\n",
        )
    yield folder
    shutil.rmtree(folder)


def as_nobody(root: Path, *words: str) -> subprocess.CompletedProcess[str]:
    """One of the commands as somebody who is not root: by a process of its own, which may read this package."""
    code = f"""
import os, sys
sys.path[:0] = {[str(Path(__file__).parents[2]), *sys.path]!r}
from oci_systemd.cli import cli, install
import oci_systemd.engines.engines, oci_systemd.cli.diff, tomlkit
if os.geteuid() == 0:
    os.setgroups([]); os.setresgid({NOBODY}, {NOBODY}, {NOBODY}); os.setresuid({NOBODY}, {NOBODY}, {NOBODY})
cli.main({[words[0], "--root", str(root), *words[1:]]!r})
"""
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)


def test_folder_that_may_not_be_written_is_one_sentence(closed: Path) -> None:
    (closed / "etc").mkdir()
    before = files(closed)
    if os.geteuid() != 0:
        (closed / "etc").chmod(0o555)
    result = as_nobody(closed, "install", "docker")
    assert (result.returncode, result.stdout) == (2, "")
    assert (
        result.stderr == f"oci-systemd: {closed}/etc/oci-systemd: cannot write: Permission denied; no file is changed\n"
    )
    (closed / "etc").chmod(0o755)
    assert files(closed) == before


@pytest.mark.parametrize("what", ["file", "folder"])
def test_file_that_may_not_be_read_is_one_sentence(what: str, closed: Path) -> None:
    path = config(closed / "etc/docker/daemon.json", "{}")
    (path if what == "file" else path.parent).chmod(0)
    result = as_nobody(closed, "install", *DRY, "docker")
    assert (result.returncode, result.stdout) == (2, "")
    assert "/etc/docker/daemon.json: cannot read: Permission denied" in result.stderr
    (path if what == "file" else path.parent).chmod(0o755)


def test_somebody_who_is_not_root_may_look(closed: Path) -> None:
    config(closed / "etc/docker/daemon.json", "{}")
    result = as_nobody(closed, "install", *DRY, "docker")
    assert (result.returncode, result.stderr) == (0, "")
    assert "+++ /etc/docker/daemon.json" in result.stdout


ROOTS = ["/nowhere", "/etc/passwd", "LOOP", "\x1b[2J"]


@pytest.mark.parametrize("given", ROOTS)
@pytest.mark.parametrize("command", ["install", "uninstall"])
def test_root_that_is_no_folder_is_told(command: str, given: str, tmp_path: Path) -> None:
    (tmp_path / "a").symlink_to("b")
    (tmp_path / "b").symlink_to("a")
    result = run(tmp_path / "a" if given == "LOOP" else Path(given), command, "docker")
    assert (result.exit_code, result.stdout, result.stderr.count("\n")) == (2, "", 1)
    assert "not a directory" in result.stderr
    assert "\x1b" not in result.stderr


WORDS = {
    "no engine": (["install"], "missing argument"),
    "a command that is mistyped": (["instal", "docker"], "no such command 'instal'; did you mean 'install'?"),
    "a command that is like none": (["xyz"], "no such command 'xyz'"),
    "an engine that there is not": (["install", "lxc"], "'lxc' is not one of"),
    "uninstall has no --default": (["uninstall", "docker", "--default"], "no such option"),
    "a restart that there is not": (["install", "docker", "--restart", "always"], "'always' is not one of"),
}


@pytest.mark.parametrize(("words", "said"), WORDS.values(), ids=WORDS)
def test_wrong_words_are_one_sentence(words: list[str], said: str) -> None:
    result = CliRunner().invoke(cli, words)
    assert (result.exit_code, result.stdout, result.stderr.count("\n")) == (2, "", 1)
    assert said in result.stderr.lower()


@pytest.mark.parametrize("damage", ["{", "[]", '{"version": 9}', "\x00", "[" * 99999])
@pytest.mark.parametrize("command", ["install", "uninstall"])
def test_damaged_record_is_told(command: str, damage: str, root: Path) -> None:
    config(root / "etc/oci-systemd/engines/docker.json", damage)
    assert "/etc/oci-systemd/engines/docker.json" in refused(root, command, "docker")
