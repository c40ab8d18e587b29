"""packaging/images: Debian's is built of Debian's packages without a registry, boots without a failed unit, and is small.

The others need their own registries: tests/packaging/test_images.py reads what they share.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from tests.cri.pod import Container
from tests.e2e.lab.containerd import Containerd
from tests.e2e.lab.images import name
from tests.e2e.lab.node import SOURCE
from tests.e2e.lab.pods import Case, Guest, begin
from tests.e2e.lab.rootfs import mirror
from tests.packaging.test_images import FOLDER, masked

pytestmark = [pytest.mark.engine, pytest.mark.parametrize("engine", ["containerd-2-packaged"], indirect=True)]

BASE, BUILT = "localhost/debian", name("debian-systemd")
MEGABYTES = 80  # of the archive, compressed: 60 in November 2026
STORAGE = """[storage]
driver = "vfs"
graphroot = "{0}/root"
runroot = "{0}/run"
"""


class Buildah:
    """buildah with a store of its own, and no more of this machine than a sandbox has."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        conf = directory / "storage.conf"
        conf.write_text(STORAGE.format(directory))
        self.environment = os.environ | {"CONTAINERS_STORAGE_CONF": str(conf), "BUILDAH_ISOLATION": "chroot"}

    def run(self, *words: str, cwd: Path = SOURCE) -> str:
        done = subprocess.run(words, env=self.environment, cwd=cwd, capture_output=True, text=True, timeout=600)
        assert done.returncode == 0, done.stderr
        return done.stdout.strip()


@pytest.fixture(scope="module")
def buildah(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Buildah]:
    """The image BUILT, by the commands of packaging/images/README.md."""
    buildah = Buildah(tmp_path_factory.mktemp("buildah"))
    buildah.run("debian/base.sh", BASE, *mirror(), cwd=FOLDER)
    build = ("buildah", "build", "--quiet", "-t", BUILT, "-f", "debian/Containerfile")
    buildah.run(*build, "--build-arg", f"BASE={BASE}", ".", cwd=FOLDER)
    yield buildah
    shutil.rmtree(buildah.directory)


@pytest.fixture(scope="module")
def guest(buildah: Buildah, engine: Containerd) -> Iterator[Guest]:
    archive = buildah.directory / "image.tar"
    buildah.run("buildah", "push", "--quiet", BUILT, f"oci-archive:{archive}:{BUILT}")
    assert archive.stat().st_size < MEGABYTES << 20
    shutil.copy(archive, there := engine.node.path("/tmp/image.tar"))
    engine.import_archive()
    there.unlink()
    guest = begin(engine, "image", Case(replace(Container(), image=BUILT, command=())))
    with guest.where:
        yield guest


def test_it_boots_by_its_own_command_without_a_failed_unit(guest: Guest) -> None:
    assert (guest.system_state(), guest.output("systemctl", "--failed", "--no-legend")) == ("running", "")


def test_it_has_the_machine_id_of_its_container_and_no_first_boot(guest: Guest) -> None:
    assert guest.output("cat", "/etc/machine-id") == guest.id[:32]
    assert guest.exec("systemctl", "is-enabled", "--quiet", "systemd-pstore.service").exit_code == 0
    assert guest.output("systemctl", "is-active", "first-boot-complete.target") == "inactive"


def test_its_units_are_masked(guest: Guest) -> None:
    assert {unit: guest.output("systemctl", "is-enabled", unit) for unit in masked()} == dict.fromkeys(
        masked(), "masked"
    )


def test_it_names_the_stop_signal(buildah: Buildah, engine: Containerd) -> None:
    assert (
        buildah.run("buildah", "inspect", "--type=image", "--format={{.OCIv1.Config.StopSignal}}", BUILT)
        == "SIGRTMIN+3"
    )
