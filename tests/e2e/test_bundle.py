"""The self-contained tree: systemd boots by it on nodes without Python, with another C library, and without any shell."""

import json
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e.lab.bare import KINDS, bare
from tests.e2e.lab.container import PROMPT, Container
from tests.e2e.lab.life import live
from tests.e2e.lab.node import Node
from tests.e2e.lab.product import HOME, make, put, tree, version
from tests.e2e.lab.rootfs import IMAGES

pytestmark = pytest.mark.engine

PYTHON = f"{HOME}/current/python/bin/python3.13"
# Every module of the package and of its dependencies; then the files that are mapped into the interpreter.
IMPORT_ALL = """
import importlib, pkgutil, sys
sys.path.insert(0, "HOME/current/lib/oci-systemd")
import oci_systemd, prometheus_client, ssl, google.protobuf.message
found = [m.name for m in pkgutil.walk_packages(oci_systemd.__path__, "oci_systemd.")]
for name in found:
    importlib.import_module(name)
print(len(found))
for line in open("/proc/self/maps"):
    path = line.split()[-1]
    if path.startswith("/"):
        print(path)
""".replace("HOME", HOME)
ENTRY = f'import sys; sys.path.insert(0, "{HOME}/current/lib/oci-systemd"); from oci_systemd.cli import main; main()'


@pytest.fixture(scope="module")
def bundle() -> Path:
    make("bundle")
    return tree("amd64")


@pytest.fixture(scope="module", params=KINDS)
def node(request: pytest.FixtureRequest, cache: None, bundle: Path) -> Iterator[Node]:
    with Node(bare(request.param)) as node:
        put(bundle, node.path("/"))
        node.launcher = f"{HOME}/bin/oci-systemd-runtime"
        node.run("mount", "-o", "bind", "/usr", "/usr")
        node.run("mount", "-o", "remount,bind,ro", "/usr")
        if not node.nsdelegate():
            node.path("/etc/oci-systemd").mkdir()
            node.path("/etc/oci-systemd/config.toml").write_text("[cgroup]\nrequire_nsdelegate = false\n")
        yield node


def test_the_node_has_what_its_name_says(node: Node) -> None:
    assert not list(node.path("/usr").glob("*/python3*"))
    has_shell, compiler, _ = KINDS[node.rootfs.name.removeprefix("bare-").replace("-", " ")]
    assert node.path("/bin/sh").is_symlink() == node.path("/bin/grep").is_symlink() == has_shell
    assert not compiler or node.run("hello").stdout == "hello\n"


def test_systemd_boots_works_and_stops(node: Node) -> None:
    with Container(node, IMAGES["debian-13"]) as container:
        container.add_units()
        container.create_and_start()
        life = live(container)
    assert (life.state, life.failed) == ("running", ""), life.said
    assert life.machine_id == life.id[:32]
    assert (life.ticked, life.greeting) == (True, b"hello\n")
    assert 0 < life.time_to_stop < PROMPT, life.said
    assert life.stopped == ["second", "first"]


def test_an_ordinary_container_stays_as_it_is(node: Node) -> None:
    with Container(node, IMAGES["debian-13"]) as container:
        container.edit(lambda spec: spec["process"].update(args=["/bin/sleep", "100"]))
        before = container.config
        container.create()
        assert container.config == before


def test_nothing_is_loaded_from_the_host(node: Node) -> None:
    number, *files = node.run(PYTHON, "-ISBc", IMPORT_ALL).stdout.split("\n")
    assert int(number) > 50
    assert {each for each in files if each and not each.startswith(f"{HOME}/versions/")} == set()


def test_the_command_line_explains_a_bundle(node: Node) -> None:
    with Container(node, IMAGES["debian-13"]) as container:
        said = node.run(f"{HOME}/bin/oci-systemd", "explain", "--json", container.bundle).stdout
    assert json.loads(said)["wanted"] is True


def test_doctor_finds_the_wrapper_in_order(node: Node) -> None:
    found = json.loads(node.run(f"{HOME}/bin/oci-systemd", "doctor", "--json", check=False).stdout)
    wrapper = [each for each in found if "oci-systemd-runtime" in each["subject"] + each["said"]]
    assert wrapper and all(each["status"] == "pass" for each in wrapper), found


def test_a_version_that_was_unpacked_by_hand_makes_itself_the_one_that_is_called(bundle: Path, cache: None) -> None:
    name = version(bundle)
    with Node(bare("glibc")) as node:
        archive = bundle.parents[1] / f"oci-systemd-{name}-{bundle.name}.tar.gz"
        subprocess.run(["tar", "-C", node.path("/"), "-xzf", archive], check=True)
        node.path("/etc/containerd").mkdir()
        node.path("/etc/containerd/config.toml").write_text("version = 2\n")
        program = f"{HOME}/versions/{name}/bin/oci-systemd"
        said = node.run(program, "install", "containerd", "--handler=a").stdout.splitlines()
        assert f"wrote {HOME}/current" in said and "next: systemctl restart containerd" in said
        assert f'BinaryName = "{HOME}/bin/oci-systemd-runtime"' in node.path("/etc/containerd/config.toml").read_text()
        shutil.copy(node.path("/usr/bin/runc"), node.path("/usr/sbin/other"))
        node.run(f"{HOME}/bin/oci-systemd", "install", "containerd", "--handler=b", "--runtime=/usr/sbin/other")
        stub = f"{HOME}/bin/oci-systemd-runtime.containerd.b"
        assert node.path(stub).read_text().startswith(f"#!{HOME}/bin/sh\n")
        assert "runc version" in node.run(stub, "--version").stdout
        for handler in "ab":
            node.run(f"{HOME}/bin/oci-systemd", "uninstall", "containerd", f"--handler={handler}")
        assert node.path("/etc/containerd/config.toml").read_text() == "version = 2\n"
        assert node.path(f"{HOME}/current").is_symlink()  # made by hand, so removed by hand


# Its contents


def test_the_tree_is_the_same_when_it_is_built_again(bundle: Path, tmp_path: Path) -> None:
    make("bundle", out=tmp_path / "build", fresh=True)
    assert version(tree("amd64", tmp_path / "build")) == version(bundle)
    same = subprocess.run(
        ["diff", "-r", "--no-dereference", bundle, tree("amd64", tmp_path / "build")], capture_output=True, text=True
    )
    assert same.stdout == ""


def test_its_bill_of_materials_names_what_it_holds(bundle: Path) -> None:
    share = next((bundle / HOME.lstrip("/") / "versions").glob("*/share"))
    bill = json.loads((share / "sbom.spdx.json").read_text())
    names = {each["name"] for each in bill["packages"]}
    assert names >= {"oci-systemd", "busybox-static", "libc6", "libssl3t64", "python3.13-minimal"}
    assert names >= {"click", "protobuf", "python-json-logger"}
    assert {each.name for each in (share / "doc").iterdir()} <= names


def test_one_for_arm64_is_made_of_the_same_and_runs_emulated(bundle: Path, tmp_path: Path) -> None:
    make("bundle", "ARCH=arm64")
    shutil.copytree(tree("arm64"), tmp_path, symlinks=True, dirs_exist_ok=True)
    shutil.copy(shutil.which("qemu-aarch64-static") or "", tmp_path / "qemu")
    said = subprocess.run(
        ["chroot", tmp_path, "/qemu", PYTHON, "-ISBc", ENTRY, "--version"], capture_output=True, text=True
    )
    assert said.stdout.startswith("oci-systemd "), said.stderr
    (tmp_path / "proc").mkdir()
    subprocess.run(["mount", "-t", "proc", "proc", tmp_path / "proc"], check=True)
    try:
        done = subprocess.run(
            ["chroot", tmp_path, "/qemu", PYTHON, "-ISBc", IMPORT_ALL], capture_output=True, text=True
        )
    finally:
        subprocess.run(["umount", tmp_path / "proc"], check=True)
    assert int(done.stdout.split()[0]) > 50, done.stderr
