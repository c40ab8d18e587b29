"""The Debian package on Debian 12 and 13: it works after installation, keeps the owner's files, and leaves nothing behind."""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
import subprocess
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from oci_systemd import __version__
from oci_systemd.host.log import Entry
from tests.e2e.lab.container import PROMPT, Container, until
from tests.e2e.lab.node import Node
from tests.e2e.lab.product import call_make
from tests.e2e.lab.rootfs import IMAGES, RootFS, prepare

pytestmark = pytest.mark.engine

SOURCE = Path(__file__).parents[2]
PARTS = (
    "Makefile",
    "CHANGELOG.md",
    "pyproject.toml",
    "oci_systemd",
    "hooks.d",
    "packaging",
)  # what a package is made of
# What the package depends on, and what its pages and completions are read by: nothing is fetched while it is installed.
WANTED = """runc python3 python3-click python3-h2 python3-prometheus-client python3-protobuf python3-pythonjsonlogger
    python3-tomlkit man-db logrotate zsh fish""".split()  # fmt: skip
SYSTEMS = {
    "debian-12": RootFS("package-12", "bookworm", (*WANTED,)),
    "debian-13": RootFS("package-13", "trixie", (*WANTED, "python3-orjson")),
}
IMAGE = IMAGES["debian-13"]
SETTINGS = "/etc/oci-systemd/config.toml"
RECORDS = "/etc/oci-systemd/engines"
LIB = "/usr/lib/oci-systemd"
CURRENT = f"{LIB}/current"
UNIT = "oci-systemd-nri.service"
# Files of dpkg, apt and man-db.
OTHERS = re.compile(
    r"/(proc|sys|dev|run|tmp|lab|source|\.old|var/(lib/(dpkg|apt|containers?d?|docker|kubelet)|cache|log/(dpkg\.log|apt|alternatives\.log)))(/|$)"
)


class Packages(NamedTuple):
    """The package of this source, and one of a later version of it."""

    now: Path
    later: Path


@pytest.fixture(scope="module")
def packages(tmp_path_factory: pytest.TempPathFactory) -> Packages:
    later = tmp_path_factory.mktemp("later")
    for part in PARTS:
        copy = shutil.copytree if (SOURCE / part).is_dir() else shutil.copy
        copy(SOURCE / part, later / part)
    version = later / "oci_systemd/__init__.py"
    version.write_text(re.sub(r'__version__ = ".*"', '__version__ = "99.0"', version.read_text()))
    return Packages(build(SOURCE, tmp_path_factory.mktemp("deb")), build(later, tmp_path_factory.mktemp("deb")))


def build(source: Path, out: Path) -> Path:
    done = call_make("deb", f"BUILD={out}", source=source, SOURCE_DATE_EPOCH="1700000000")
    assert done.returncode == 0, done.stdout + done.stderr
    (package,) = out.glob("oci-systemd_*_all.deb")
    return package


@pytest.fixture(scope="module", params=SYSTEMS)
def system(request: pytest.FixtureRequest) -> RootFS:
    prepare([SYSTEMS[request.param], IMAGE])
    return SYSTEMS[request.param]


@pytest.fixture
def node(system: RootFS) -> Iterator[Node]:
    with Node(system) as node:
        yield node


@pytest.fixture(scope="module")
def installed(system: RootFS, packages: Packages) -> Iterator[Node]:
    """A node that has the package, for those that only look."""
    with Node(system) as node:
        install(node, packages.now)
        if not node.nsdelegate():
            change_settings(node)
        yield node


def install(node: Node, package: Path) -> None:
    shutil.copy(package, node.path("/root/oci-systemd.deb"))
    node.run(
        "apt-get", "install", "--yes", "--quiet", "/root/oci-systemd.deb", env={"DEBIAN_FRONTEND": "noninteractive"}
    )
    node.path("/root/oci-systemd.deb").unlink()


def change_settings(node: Node) -> str:
    """What a node's owner writes."""
    text = node.path(SETTINGS).read_text().replace("# require_nsdelegate = true", "require_nsdelegate = false")
    node.path(SETTINGS).write_text(text)
    return text


def files(node: Node) -> dict[str, str]:
    """Every path of the node, with its content."""
    top = node.path("/")
    found = {}
    for folder, folders, names in os.walk(top):
        inside = "/" + os.path.relpath(folder, top).removeprefix(".")
        folders[:] = [name for name in folders if not OTHERS.match(f"{inside}/{name}".replace("//", "/"))]
        for name in (*folders, *names):
            place = Path(folder, name)
            path = f"{inside}/{name}".replace("//", "/")
            if not OTHERS.match(path):
                found[path] = content(place)
    return found


def content(place: Path) -> str:
    if place.is_symlink():
        return f"-> {place.readlink()}"
    return hashlib.sha256(place.read_bytes()).hexdigest() if place.is_file() else oct(place.stat().st_mode)


def differences(before: dict[str, str], after: dict[str, str]) -> list[str]:
    return sorted({path for path, _ in before.items() ^ after.items()})


def configure_containerd(node: Node) -> None:
    """An engine's configuration that calls the wrapper; the engine itself is not needed for that."""
    file = node.path("/etc/containerd/config.toml")
    file.parent.mkdir(exist_ok=True)
    file.write_text("version = 2\n")
    node.run("oci-systemd", "install", "containerd", "--config", "/etc/containerd/config.toml")


def magic(node: Node) -> bytes:
    words = ["import sys", "from importlib.util import MAGIC_NUMBER", "sys.stdout.write(MAGIC_NUMBER.hex())"]
    return bytes.fromhex(node.run("python3", "-c", "; ".join(words)).stdout)


# The package itself


# What a package is called where it is not python3-NAME.
NAMES = {
    "deb/control.in": {"python-json-logger": "python3-pythonjsonlogger"},
    "rpm/oci-systemd.spec": {"python-json-logger": "python3dist(python-json-logger)"},
}


@pytest.mark.parametrize("file", NAMES)
def test_packages_ask_for_all_that_the_project_does(file: str) -> None:
    wanted = tomllib.loads((SOURCE / "pyproject.toml").read_text())["project"]["dependencies"]
    text = (SOURCE / "packaging" / file).read_text().replace("_", "-")
    names = [NAMES[file].get(name, f"python3-{name}") for name in (each.partition(">")[0] for each in wanted)]
    assert [name for name in names if not re.search(rf"\s{re.escape(name)} ", text)] == []


def test_spec_is_of_this_version() -> None:
    text = (SOURCE / "packaging/rpm/oci-systemd.spec").read_text()
    assert re.findall(r"^Version: +(.*)", text, re.MULTILINE) == [__version__]


def test_the_same_source_gives_the_same_package(packages: Packages, tmp_path: Path) -> None:
    assert build(SOURCE, tmp_path).read_bytes() == packages.now.read_bytes()


def test_nothing_in_it_depends_on_an_interpreter_or_on_where_it_was_built(packages: Packages, tmp_path: Path) -> None:
    subprocess.run(["dpkg-deb", "--raw-extract", packages.now, tmp_path], check=True)
    names = [str(each.relative_to(tmp_path)) for each in tmp_path.rglob("*")]
    assert not [name for name in names if "__pycache__" in name or "/frozen-" in name or name.endswith("/made")]
    for each in (each for each in tmp_path.rglob("*") if each.is_file()):
        text = each.read_bytes()
        assert str(SOURCE).encode() not in text, each
        is_source = f"{LIB}/source" in str(each)
        assert is_source or each.suffix == ".py" or not re.search(rb"/usr/local|@[A-Z]+@", text), each


# Installed


def test_doctor_finds_the_wrapper_in_order(installed: Node) -> None:
    said: list[dict[str, Any]] = json.loads(installed.run("oci-systemd", "doctor", "--json", check=False).stdout)
    found = {each["subject"]: each for each in said}
    assert found["wrapper"]["status"] == "pass", found
    assert found["wrapper"]["said"] == "/usr/bin/oci-systemd-runtime, in front of /usr/bin/runc"
    assert found["runc"]["said"].startswith("/usr/bin/runc 1.")
    assert found["settings"]["status"] == "pass"


def test_systemd_boots_and_stops_by_it(installed: Node) -> None:
    with Container(installed, IMAGE) as container:
        container.run()
        assert container.system_state() == "running", container.said
        assert container.output("cat", "/etc/machine-id") == container.id[:32]
        assert container.time_to_stop("TERM") < PROMPT


def test_what_the_wrapper_reads_was_made_by_the_node_s_python(installed: Node) -> None:
    for call in ("create", "kill"):
        assert installed.path(f"{CURRENT}/frozen-{call}").read_bytes()[:4] == magic(installed)
    compiled = list(installed.path(f"{CURRENT}/oci_systemd").rglob("*.pyc"))
    assert len(compiled) == len(list(installed.path(f"{CURRENT}/oci_systemd").rglob("*.py")))
    # PEP 552: the second word is 1 for a hash that is not checked against the source.
    assert {each.read_bytes()[:8] for each in compiled} == {magic(installed) + b"\1\0\0\0"}


def test_wrapper_never_looks_where_the_command_line_does(installed: Node) -> None:
    assert "dist-packages" in installed.path("/usr/bin/oci-systemd").read_text()
    assert "dist-packages" not in installed.path("/usr/bin/oci-systemd-runtime").read_text()


def test_plugin_finds_what_it_needs(installed: Node) -> None:
    words = ["oci-systemd", "nri", "--metrics", "127.0.0.1:9753", "--socket-path", "/run/none.sock"]
    installed.start(*words, log="/run/nri.log")
    said = until(installed.path("/run/nri.log").read_text, lambda text: "\n" in text, 20)
    installed.run("sh", "-c", "kill $(cat /run/nri.log.pid)", check=False)
    assert "runtime at /run/none.sock: cannot connect" in said, said
    entry = Entry("warning", "runtime", None, "")
    assert [*json.loads(said.splitlines()[0])] == [*entry.fields(0)], said


def test_unit_is_there_and_not_enabled(installed: Node) -> None:
    assert "ExecStart=/usr/bin/oci-systemd nri" in installed.path(f"/usr/lib/systemd/system/{UNIT}").read_text()
    assert not list(installed.path("/etc/systemd/system").rglob(UNIT))


@pytest.mark.parametrize(
    "page", ["1 oci-systemd", "1 oci-systemd-install", "5 oci-systemd-config", "8 oci-systemd-runtime"]
)
def test_man_finds_the_page(installed: Node, page: str) -> None:
    done = installed.run("man", *page.split())
    assert page.split()[1].upper() in done.stdout
    assert done.stderr == ""


COMPLETE = {
    "bash": """. /usr/share/bash-completion/completions/oci-systemd
        COMP_WORDS=(oci-systemd uni) COMP_CWORD=1; _oci_systemd_completion oci-systemd; echo "${COMPREPLY[@]}" """,
    "zsh": """zmodload zsh/zpty; zpty shell 'TERM=dumb zsh -f -i'
        zpty -w shell 'autoload -U compinit; compinit -D -u; echo re""ady'; zpty -r -m shell said '*ready*'
        zpty -w -n shell $'oci-systemd uni\\t'; zpty -r -m shell said '*oci-systemd uninstall *'; echo $said; zpty -d""",
    "fish": "complete -C 'oci-systemd uni'",
}


@pytest.mark.parametrize("shell", COMPLETE)
def test_shell_completes_a_command(installed: Node, shell: str) -> None:
    assert "uninstall" in installed.run("timeout", "20", shell, "-c", COMPLETE[shell]).stdout


def test_logrotate_takes_the_file(installed: Node) -> None:
    log = installed.path("/var/log/oci-systemd.log")
    log.write_text("{}\n")
    installed.run("logrotate", "--force", "/etc/logrotate.d/oci-systemd")
    assert not log.exists()
    assert log.with_name("oci-systemd.log.1").read_text() == "{}\n"


# What becomes of it


def test_upgrade_brings_the_new_one_and_keeps_what_the_owner_wrote(node: Node, packages: Packages) -> None:
    install(node, packages.now)
    written = change_settings(node)
    configure_containerd(node)
    shutil.copy(packages.later, node.path("/root/later.deb"))
    node.run("dpkg", "--unpack", "/root/later.deb")
    # Not configured yet: the old version is called, and is whole.
    assert node.run("oci-systemd", "--version").stdout == f"oci-systemd {__version__}\n"
    assert f'"{__version__}"'.encode() in node.path(f"{CURRENT}/oci_systemd/__init__.py").read_bytes()
    node.run("dpkg", "--configure", "oci-systemd")
    assert node.run("oci-systemd", "--version").stdout == "oci-systemd 99.0\n"
    assert b"99.0" in node.path(f"{CURRENT}/frozen-create").read_bytes()
    assert [each.name for each in node.path(f"{LIB}/versions").iterdir()] == ["99.0"]
    assert node.path(SETTINGS).read_text() == written


def test_removal_is_refused_while_an_engine_calls_the_wrapper(node: Node, packages: Packages) -> None:
    install(node, packages.now)
    configure_containerd(node)
    before = files(node)
    done = node.run("dpkg", "--remove", "oci-systemd", check=False)
    assert done.returncode
    assert "containerd: still uses the wrapper; run: oci-systemd uninstall containerd\n" in done.stderr
    assert differences(before, files(node)) == []
    assert node.run("dpkg-query", "-Wf", "${db:Status-Status}", "oci-systemd").stdout == "installed"
    node.run("oci-systemd", "uninstall", "containerd")
    other = node.path("/etc/oci-systemd/engines/docker.json")
    other.parent.mkdir(exist_ok=True)
    other.write_text('{"now": "/usr/local/bin/oci-systemd-runtime"}')  # of another installation
    node.run("dpkg", "--remove", "oci-systemd")
    assert not node.path(LIB).exists()
    assert node.path(SETTINGS).exists()


def test_purge_leaves_nothing(node: Node, packages: Packages) -> None:
    before = files(node)
    install(node, packages.now)
    change_settings(node)
    configure_containerd(node)
    node.run("oci-systemd", "uninstall", "containerd")
    for name in ("oci-systemd.log", "oci-systemd.log.1", "oci-systemd.log.2.gz"):
        node.path(f"/var/log/{name}").write_text("")
    wants = node.path("/etc/systemd/system/multi-user.target.wants")
    wants.mkdir(parents=True, exist_ok=True)
    (wants / UNIT).symlink_to(f"/usr/lib/systemd/system/{UNIT}")
    node.run("dpkg", "--purge", "oci-systemd")
    shutil.rmtree(node.path("/etc/containerd"))
    assert not (wants / UNIT).is_symlink()
    if "/etc/systemd/system/multi-user.target.wants" not in before:
        wants.rmdir()
    assert differences(before, files(node)) == []


def test_purge_keeps_what_somebody_else_wrote(node: Node, packages: Packages) -> None:
    install(node, packages.now)
    node.path("/etc/oci-systemd/own.toml").write_text("")
    node.run("dpkg", "--purge", "oci-systemd")
    assert [each.name for each in node.path("/etc/oci-systemd").iterdir()] == ["own.toml"]


def test_another_python_has_everything_made_anew(node: Node, packages: Packages) -> None:
    install(node, packages.now)
    for call in ("create", "kill"):
        node.path(f"{CURRENT}/frozen-{call}").write_bytes(b"of another Python")
    # What dpkg calls once python3 is unpacked: it tells every package that the version is another.
    node.run("/var/lib/dpkg/info/python3.postinst", "configure", "3.10.6-1")
    for call in ("create", "kill"):
        assert node.path(f"{CURRENT}/frozen-{call}").read_bytes()[:4] == magic(node)
