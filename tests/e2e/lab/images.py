"""The images that pods are made of: the lab's root file systems and a busybox, as archives that an engine imports.

Law: an image is what its distribution made, and above it only a layer of files that the tests name as commands.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from tests.cri.image import files, pack, write_image
from tests.e2e.lab.rootfs import IMAGES, RootFS

SEARCH = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
APPLETS = ("sh", "sleep", "cat", "mkdir", "init")
WAIT = ["/bin/sleep", "1000000"]

# An entrypoint that becomes systemd, which nobody can tell from outside; and one that has the name of an init and waits.
ENTRYPOINT = "/entrypoint.sh"
WAITING_INIT = "/usr/local/sbin/init"
OWN_INIT = "/app/bin/init"  # an application's own, which waits, too
SCRIPTS = {
    OWN_INIT: b"#!/bin/sh\nexec sleep 1000000\n",
    ENTRYPOINT: b"#!/bin/sh\nexec /lib/systemd/systemd\n",
    WAITING_INIT: b"#!/bin/sh\nexec sleep 1000000\n",
}
# An image that says VOLUME /sys/fs/cgroup, as many of systemd do.
VOLUME, VOLUME_OF = "systemd-volume", "debian-13"
# A privileged systemd would write the machine's own sysctls.
MASKED = {"/etc/systemd/system/systemd-sysctl.service": "/dev/null"}


def name(image: str) -> str:
    return f"docker.io/lab/{image}:1"


def write_systemd(image: str, out: Path, stop_signal: str = "", called: str = "") -> None:
    """One of IMAGES; `called` VOLUME with a volume in the cgroup's place."""
    config: dict[str, Any] = {
        "Entrypoint": ["/sbin/init"],
        "Env": [SEARCH],
        **({"StopSignal": stop_signal} if stop_signal else {}),
    }
    if called == VOLUME:
        config["Volumes"] = {"/sys/fs/cgroup": {}}
    layers = [pack(IMAGES[image].path), files(relative(SCRIPTS), relative(MASKED))]
    write_image(layers, out, name(called or image), config)


def write_busybox(node: RootFS, out: Path, image: str, entrypoint: Sequence[str]) -> None:
    """The node's busybox, which is also what /sbin/init leads to. It serves as a pod's pause image, too."""
    busybox = (node.path / "usr/bin/busybox").read_bytes()
    links = {f"bin/{applet}": "busybox" for applet in APPLETS} | {"sbin/init": "../bin/busybox"}
    write_image([files({"bin/busybox": busybox}, links)], out, image, {"Entrypoint": entrypoint, "Env": [SEARCH]})


def relative(paths: Mapping[str, Any]) -> dict[str, Any]:
    return {path.lstrip("/"): value for path, value in paths.items()}
