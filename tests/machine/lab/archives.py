"""The images that the machine's containers are made of, each as an archive that every engine loads."""

import json
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.cri.image import write_image
from tests.e2e.lab.rootfs import IMAGES, NODES, RootFS

NESTING = RootFS("image-podman", "trixie", ("podman", "crun", "fuse-overlayfs", "uidmap", "procps", "busybox-static"))
SEARCH = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
INIT = {"Entrypoint": ["/sbin/init"], "Env": [SEARCH]}
SHELL = {"Cmd": ["/bin/sh"], "Env": [SEARCH]}
# What systemd-update-done.service would write: no boot repeats the work of a first one, seconds on an emulated processor.
UPDATED = ("etc/.updated", "var/.updated")
# What no container here reads.
UNREAD = """usr/share/doc usr/share/man usr/share/info usr/share/locale usr/share/i18n usr/share/zoneinfo usr/share/lintian
    usr/share/bash-completion var/lib/apt var/cache usr/lib/x86_64-linux-gnu/gconv""".split()
APPLETS = """sh cat date echo env false grep head hostname id kill ls mkdir mount ps pwd rm seq sleep stat tail tee test true
    umount wc""".split()


@dataclass(frozen=True)
class Image:
    """Where an image's file system comes from, and its config."""

    tree: RootFS
    config: Mapping[str, Any] = field(default_factory=lambda: INIT)
    fill: Callable[[Path, Path], None] | None = None
    """Makes a file system of its own out of TREE."""

    def layer(self) -> bytes:
        with tempfile.TemporaryDirectory() as made:
            if self.fill:
                self.fill(Path(made), self.tree.path)
                return pack(Path(made))
            for each in UPDATED:
                (Path(made) / each).parent.mkdir(exist_ok=True)
                (Path(made) / each).touch()
            return pack(self.tree.path, "-C", made, *(f"./{each}" for each in UPDATED))


def busybox(root: Path, tree: Path) -> None:
    """A static busybox under the names that it answers to, the one at /sbin/init among them."""
    for each in ("bin", "sbin", "etc", "proc", "sys", "dev", "tmp", "run", "var", "root"):
        (root / each).mkdir()
    shutil.copy(tree / "usr/bin/busybox", root / "bin/busybox")
    for name in APPLETS:
        (root / "bin" / name).symlink_to("busybox")
    (root / "sbin/init").symlink_to("../bin/busybox")
    (root / "etc/passwd").write_text("root:x:0:0:root:/root:/bin/sh\n")
    (root / "etc/inittab").write_text("::sysinit:/bin/echo busybox is up\n::respawn:/bin/sleep 3600\n")
    root.chmod(0o755)


ARCHIVES = {
    **{name: Image(tree) for name, tree in IMAGES.items()},
    "podman": Image(NESTING, SHELL),
    "busybox": Image(NODES["runc-1.1"], SHELL, busybox),
    "pause": Image(NODES["runc-1.1"], {"Entrypoint": ["/bin/sleep", "1000000"]}, busybox),
}


def image(name: str) -> str:
    """The name that the engines know the image by."""
    return f"docker.io/local/{name}:1"


def pack(root: Path, *more: str) -> bytes:
    without = [f"--exclude=./{each}/*" for each in UNREAD]
    command = ["tar", "-C", str(root), "--numeric-owner", "--one-file-system", *without, "-c", ".", *more]
    return subprocess.run(command, check=True, stdout=subprocess.PIPE).stdout


def write_archive(directory: Path, name: str) -> None:
    """An OCI archive that is a `docker save` one, too: Docker 26 reads no other."""
    archive, packed = directory / f"{name}.tar", ARCHIVES[name]
    write_image([packed.layer()], archive, image(name), dict(packed.config))
    (directory / "manifest.json").write_text(json.dumps([docker_manifest(archive, image(name))]))
    subprocess.run(["tar", "--append", "-f", str(archive), "-C", str(directory), "manifest.json"], check=True)


def docker_manifest(archive: Path, name: str) -> dict[str, Any]:
    index = member(archive, "index.json")
    manifest = member(archive, blob(index["manifests"][0]))
    layers = [blob(each) for each in manifest["layers"]]
    return {"Config": blob(manifest["config"]), "RepoTags": [name], "Layers": layers}


def blob(descriptor: Mapping[str, Any]) -> str:
    return "blobs/" + str(descriptor["digest"]).replace(":", "/")


def member(archive: Path, name: str) -> Any:
    return json.loads(subprocess.run(["tar", "-xOf", str(archive), name], check=True, capture_output=True).stdout)
