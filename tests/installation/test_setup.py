"""Installing and uninstalling beyond plans: questions to the engine, messages, and files of ours that must be found again."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path

import pytest

from oci_systemd.core.errors import Problem
from oci_systemd.engines.containerd import PLACES
from oci_systemd.host import commands
from oci_systemd.host.tree import Tree
from oci_systemd.installation import effective, setup
from oci_systemd.installation.setup import Request
from oci_systemd.installation.transaction import Reporter
from tests.engines.real import FOLDER
from tests.shells.test_cli_install import LAUNCHER, config, done, files, program, refused, run
from tests.shells.test_cli_install import root as root

MAIN = "etc/containerd/config.toml"
V2 = "io.containerd.grpc.v1.cri"
MIGRATE = FOLDER / "uninstall-after-migrate"


# Without click


def test_it_works_without_a_command_line(root: Path) -> None:
    before, lines, notes = files(root), list[str](), list[str]()
    request = Request(Tree(str(root)), "docker", "systemd", Reporter(lines.append, notes.append))
    setup.install(request)
    assert lines[1:] == [
        "wrote /etc/docker/daemon.json",
        "docker was not asked: its files were read",
        "next: systemctl reload docker",
    ]
    assert setup.uninstall(request)
    assert (files(root), notes) == (before, [])


# The default handler's program


def test_default_over_nvidia_keeps_nvidia_behind_and_says_so(root: Path) -> None:
    nvidia = program(root / "usr/bin/nvidia-container-runtime")
    config(root / "etc/docker/daemon.json", (FOLDER / "docker-nvidia-default/etc/docker/daemon.json").read_text())
    before = files(root)
    result = run(root, "install", "docker", "--default")
    assert result.stderr == (
        "oci-systemd: systemd calls /usr/bin/nvidia-container-runtime, the runtime of the node's default handler; to change it, "
        "pass --runtime\n"
    )
    stub = root / "usr/bin/oci-systemd-runtime.docker.systemd"
    assert f"osd_runtime=/{nvidia.relative_to(root)}\n" in stub.read_text()
    value = json.loads((root / "etc/docker/daemon.json").read_text())
    assert value["default-runtime"] == "systemd"
    done(root, "install", "docker", "--default", "--runtime", "runc")
    assert not stub.exists()
    done(root, "uninstall", "docker")
    assert files(root) == before


def test_a_second_handler_has_the_same_runtime_behind_it_as_a_default_of_ours(root: Path) -> None:
    done(root, "install", "docker", "--default", "--runtime", "crun")
    done(root, "install", "docker", "--handler", "other")
    assert "osd_runtime=/usr/bin/crun\n" in (root / "usr/bin/oci-systemd-runtime.docker.other").read_text()


def test_stub_goes_where_it_may_be_written(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = files(root)
    monkeypatch.setattr(Tree, "is_read_only", lambda self, folder: folder == "/usr/bin")
    lines = done(root, "install", "docker", "--runtime", "crun")
    assert "wrote /var/lib/oci-systemd/bin/oci-systemd-runtime.docker.systemd" in lines
    assert done(root, "install", "docker", "--runtime", "crun")[-1].endswith("is up to date; nothing to do")
    done(root, "uninstall", "docker")
    assert files(root) == before


# Never forgotten


@pytest.mark.parametrize("was", ["", "runc", "gpu"])
def test_handler_that_migrate_has_moved_is_taken_away(was: str, root: Path) -> None:
    text = (MIGRATE / "before.toml").read_text()
    if was:
        text += f'[plugins."{V2}".containerd]\n  default_runtime_name = "{was}"\n'
    main = config(root / MAIN, text)
    done(root, "install", "containerd", "--default")
    main.write_text((MIGRATE / "migrated.toml").read_text())
    assert f"wrote /{MAIN}" in done(root, "uninstall", "containerd")
    assert "oci-systemd" not in main.read_text()
    assert ("default_runtime_name" in main.read_text()) == bool(was)
    assert not was or f'default_runtime_name = "{was}"' in main.read_text()
    assert not (root / "etc/oci-systemd").exists()


def test_handler_that_somebody_has_put_into_another_file_is_taken_away(root: Path) -> None:
    main = config(root / MAIN, f'version = 2\nimports = ["/etc/more/*.toml"]\n[plugins."{V2}"]\nsandbox_image = "x"\n')
    before = main.read_text()
    done(root, "install", "containerd")
    moved = config(root / "etc/more/a.toml", main.read_text().replace("imports", "#"))
    main.write_text(before)
    done(root, "uninstall", "containerd")
    assert "oci-systemd" not in moved.read_text()
    assert main.read_text() == before


BY_HAND = f"""version = 2
[plugins."{V2}".containerd.runtimes.systemd]
  runtime_type = "io.containerd.runc.v2"
  [plugins."{V2}".containerd.runtimes.systemd.options]
    BinaryName = "/{LAUNCHER}"
"""


@pytest.mark.parametrize("lacks", [True, False], ids=["with what it lacked on record", "not on record"])
def test_handler_that_somebody_wrote_is_told_and_stays_on_record(lacks: bool, root: Path) -> None:
    main = config(root / MAIN, BY_HAND)
    if lacks:
        done(root, "install", "containerd")
    before = files(root)
    result = run(root, "uninstall", "containerd")
    assert (result.exit_code, result.stdout, files(root)) == (1, "", before)
    assert result.stderr == (
        f"oci-systemd: /{MAIN}: plugins.{V2}.containerd.runtimes.systemd still has handler systemd, which install did not write "
        "there; remove it, then uninstall again; no file is changed\n"
    )
    main.write_text("version = 2\n")
    assert run(root, "uninstall", "containerd").exit_code == 0
    assert not (root / "etc/oci-systemd").exists()


# The engine's own word


SAYS = """#!/bin/sh
# Prints the given text, or a version if asked for one.
case $* in *--version*) echo containerd 2.1.9; exit ;; esac
%s
"""


@pytest.fixture
def asked(root: Path) -> Path:
    """A root whose programs can be run: with a busybox for its shell."""
    busybox = shutil.which("busybox")
    if os.geteuid() or not busybox:
        pytest.skip("needs root and a static busybox: a program is run in another root")
    (root / "bin").mkdir(exist_ok=True)
    shutil.copy(busybox, root / "bin/busybox")
    for applet in ("sh", "cat", "grep", "sleep", "yes", "echo"):
        (root / "bin" / applet).symlink_to("busybox")
    (root / "tmp").mkdir()
    config(root / MAIN, "version = 3\n")
    return root


def says(root: Path, script: str) -> None:
    program(root / "usr/bin/containerd", SAYS % script)


# A containerd that merges no file: it prints the first drop-in below conf.d that it finds beside its file, and else that file.
MERGES = "d=$(dirname $2)/conf.d; if [ -d $d ]; then cat $d/*.toml; else cat $2; fi"


def test_plan_that_is_in_effect_is_written_and_leaves_no_copy(asked: Path) -> None:
    (asked / "bin/dirname").symlink_to("busybox")
    says(asked, MERGES)
    before = files(asked)
    lines = done(asked, "install", "containerd")
    assert not [line for line in lines if "was not asked" in line]
    done(asked, "uninstall", "containerd")
    assert files(asked) == before


REFUSED = {
    "not in effect": (
        "cat $2",
        "containerd config dump shows that handler systemd would not be in effect: another file overrides it",
    ),
    "no configuration at all": (
        "echo 'bad import' >&2; exit 1",
        "refuses its present files: bad import; correct them",
    ),
    "refused then": (
        "grep -rq oci-systemd-runtime $(dirname $2) && { echo 'row 7' >&2; exit 1; }; cat $2",
        "refuses the planned files: row 7; no file is changed",
    ),
}


@pytest.mark.parametrize(("script", "said"), REFUSED.values(), ids=REFUSED)
def test_plan_that_would_not_be_in_effect_is_not_written(script: str, said: str, asked: Path) -> None:
    (asked / "bin/dirname").symlink_to("busybox")
    says(asked, script)
    assert said in refused(asked, "install", "containerd")


# The call of each engine, and its output.
ENGINES = {
    "crio, which prints what it merged": ("crio", "[ ! -d $4 ] || cat $4/*; echo", "", ""),
    "crio, where a later file wins": (
        "crio", "echo '[crio.runtime]'", "crio config shows that handler systemd would not be in effect", ""
    ),
    "crio, which wants an option of its unit": (
        "crio", "echo 'no conmon' >&2; exit 1", "", "CRI-O: crio config refuses its present files: no conmon"
    ),
    "dockerd, which says no more than that": ("dockerd", "grep -q runtimes $3 || exec echo ok; echo ok", "", ""),
    "dockerd, which does not know a runtime": (
        "dockerd",
        "grep -q oci-systemd-runtime $3 && { echo 'runtime: no' >&2; exit 1; }; echo ok",
        "docker: dockerd --validate refuses the planned files: runtime: no; no file is changed",
        "",
    ),
    "dockerd, which wants an option of its unit": (
        "dockerd",
        "echo 'no userland-proxy-path' >&2; exit 1",
        "",
        "docker: dockerd --validate refuses its present files: no userland-proxy-path",
    ),
}  # fmt: skip


@pytest.mark.parametrize(("name", "script", "said", "noted"), ENGINES.values(), ids=ENGINES)
def test_other_engines_are_asked_as_well(name: str, script: str, said: str, noted: str, asked: Path) -> None:
    program(asked / "usr/bin" / name, SAYS.replace("containerd 2.1.9", "crio version 1.37.0") % script)
    engine = {"crio": "crio", "dockerd": "docker"}[name]
    if said:
        assert said in refused(asked, "install", engine)
        return
    result = run(asked, "install", engine)
    assert result.exit_code == 0
    assert ("was not asked" in result.stdout) == bool(noted)
    assert result.stderr == (f"oci-systemd: {noted}\n" if noted else "")


SILENT = {
    "nothing": "exit 0",
    "no TOML": "echo '{'",
    "no end": "exec yes x",
    "too late": "exec sleep 60",
}


@pytest.mark.parametrize("script", SILENT.values(), ids=SILENT)
def test_engine_that_says_nothing_of_use_is_read(script: str, asked: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(commands, "PATIENCE", 1.0)
    monkeypatch.setattr(commands, "LONGEST", 1 << 16)
    says(asked, script)
    assert "containerd was not asked: its files were read" in done(asked, "install", "containerd")


def test_uninstall_that_the_engine_would_not_notice_is_told(asked: Path) -> None:
    (asked / "bin/dirname").symlink_to("busybox")
    says(asked, MERGES)
    done(asked, "install", "containerd")
    hidden = config(asked / "opt/hidden.toml", (asked / "etc/containerd/conf.d/50-oci-systemd.toml").read_text())
    says(asked, f"cat /{hidden.relative_to(asked)}")
    before = files(asked)
    result = run(asked, "uninstall", "containerd")
    assert (result.exit_code, result.stdout, files(asked)) == (1, "", before)
    assert "containerd: containerd config dump shows that handler systemd would still exist" in result.stderr


def test_files_are_copied_with_their_imports_and_nothing_else(asked: Path) -> None:
    """The copy is a separate tree: absolute imports lead into it, relative ones are unchanged."""
    (asked / "bin/dirname").symlink_to("busybox")
    config(asked / MAIN, 'version = 3\nimports = ["/etc/more/*.toml", "conf.d/a.toml"]\n')
    config(asked / "etc/more/b.toml", 'version = 3\n[plugins.x]\na = "/etc/more"\n')
    config(asked / "etc/containerd/conf.d/a.toml", "# a\nversion = 3\n")
    config(asked / "etc/more/other.conf", "x")
    says(
        asked,
        "cd $(dirname $2); cat config.toml >/seen; cd ../..; for f in $(/bin/busybox find . -type f); do echo $f; done >>/seen",
    )
    answer = effective.ask("containerd", Tree(str(asked)), Tree(str(asked)), PLACES[-1])
    assert not answer.asked
    first, *others = (asked / "seen").read_text().splitlines()[1:]
    folder = first.partition('"')[2].partition("/etc/")[0]
    assert first == f'imports = ["{folder}/etc/more/*.toml", "conf.d/a.toml"]'
    assert sorted(others) == ["./etc/containerd/conf.d/a.toml", "./etc/containerd/config.toml", "./etc/more/b.toml"]
    assert not (asked / folder.lstrip("/")).exists()


def test_problem_names_an_unknown_node_engine(root: Path) -> None:
    request = Request(Tree(str(root)), "docker", "systemd", Reporter(print, print), node="n")
    with pytest.raises(Problem, match="--node: unsupported with"):
        setup.check_node(request)
