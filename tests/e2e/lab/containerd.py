"""containerd on a node: its configuration, its images, and its CRI socket, driven from outside of the node.

Law: its configuration is what its package put there, or a site did, and what `oci-systemd install` made of it.
"""

import json
import re
import time
import tomllib
from pathlib import Path
from typing import Any

import grpc

from tests.cri.client import Cri
from tests.cri.kubelet import Kubelet
from tests.cri.network import write_network
from tests.e2e.lab import images
from tests.e2e.lab.container import until
from tests.e2e.lab.node import Node
from tests.e2e.lab.rootfs import IMAGES, LabError

CONFIG = "/etc/containerd/config.toml"
SOCKET = "/run/containerd/containerd.sock"
LOG = "/var/log/containerd.log"
BUNDLES = Path("/run/containerd/io.containerd.runtime.v2.task/k8s.io")
SITE = Path(__file__).with_name("site")
OUR_LOG = "/var/log/oci-systemd.log"
CONNECTED = '"message":"connected"'
PLUGIN_LOG = "/var/log/oci-systemd-nri.log"
HANDLER, CRUN_HANDLER = "systemd", "systemd-crun"
# Where the plugin does what the handlers would: the plain ones in their place.
PLAIN = {HANDLER: "runc", CRUN_HANDLER: "crun"}
NRI = """
[plugins."io.containerd.nri.v1.nri"]
  disable = false
"""


class Containerd:
    """Started by `start`; its socket is `cri`, also when it starts again."""

    def __init__(self, node: Node) -> None:
        self.node = node
        self.kubelet = Kubelet(node.path("/"))
        self.config = node.path(CONFIG)
        self.version = node.run("containerd", "--version").stdout.split()[2].lstrip("v")
        self.major = int(self.version.partition(".")[0])
        self.started_with = ""
        self.has_plugin = False
        self._stop_signal = ""  # of the images that it has
        self.cri = Cri(str(node.path(SOCKET)))

    def start(self) -> None:
        self.node.start("containerd", log=LOG)
        try:
            self.cri.wait_ready()
        except grpc.RpcError as error:
            raise LabError(f"containerd does not serve: {error.details()}\n{self.log()[-2000:]}") from error

    def stop(self) -> None:
        self.node.stop(LOG)

    def restart(self) -> None:
        self.stop()
        self.start()

    def log(self) -> str:
        return self.node.path(LOG).read_text(errors="replace")

    # Configuration

    def use_configuration(self, name: str) -> None:
        """`packaged`: what the package put there; `site`: one that a site has made its own; `nri`: the same with NRI."""
        source = self.node.rootfs.path / CONFIG.lstrip("/")
        if name != "packaged":
            source = SITE / f"containerd-{self.major}.toml"
        self.started_with = source.read_text()
        if name == "nri":
            self.started_with = self.started_with.replace("/usr/bin/crun", self._program("crun")) + NRI
        self.config.write_text(self.started_with)
        cni = self.part("runtime")["cni"]
        programs = cni.get("bin_dirs") or [cni["bin_dir"]]
        write_network(self.node.path(programs[0]), self.node.path(cni["conf_dir"]))

    def install_handlers(self, *options: str) -> None:
        """Ours before runc, as a node's owner would install it (OPTIONS are its), and another before crun."""
        self.node.run("oci-systemd", "install", "containerd", f"--handler={HANDLER}", *options)
        crun = f"--runtime={self._program('crun')}"
        self.node.run("oci-systemd", "install", "containerd", f"--handler={CRUN_HANDLER}", crun)

    def _program(self, name: str) -> str:
        """Its path on the node: the launcher that drops limits, if there is one."""
        return self.node.run("sh", "-c", f"command -v {name}").stdout.strip()

    def uninstall_handlers(self, *options: str) -> None:
        for handler in (HANDLER, CRUN_HANDLER):
            self.node.run("oci-systemd", "uninstall", "containerd", f"--handler={handler}", *options)

    # The plugin

    def start_plugin(self, *options: str) -> None:
        """Ours, as a unit would start it, and connected."""
        self.node.start("oci-systemd", "nri", *options, log=PLUGIN_LOG)
        self.has_plugin = True
        self.wait_connected()

    def wait_connected(self) -> None:
        """Wait for the plugin to be connected."""
        check = ("oci-systemd", "nri", "--check")
        state = until(lambda: self.node.run(*check, check=False).stdout, lambda said: said.startswith("connected"), 20)
        assert state.startswith("connected"), self.plugin_log()
        # containerd asks it for containers a moment after it has been answered, and says so then (nri, adaptation.go).
        taken = re.compile(r"plugin \S+ connected")
        until(lambda: str(len(taken.findall(self.log())) >= self.plugin_log().count(CONNECTED)), "True".__eq__, 5)
        time.sleep(1)  # 1.7 says so before

    def stop_plugin(self) -> None:
        self.node.stop(PLUGIN_LOG)
        self.has_plugin = False

    def plugin_log(self) -> str:
        return self.node.path(PLUGIN_LOG).read_text(errors="replace")

    def told(self) -> str:
        """What our log says: the plugin's, else the wrapper's."""
        return self.node.path(PLUGIN_LOG if self.has_plugin else OUR_LOG).read_text(errors="replace")

    def handler(self, name: str) -> str:
        """What a pod says to be served as it would be by the handler NAME."""
        return PLAIN.get(name, name) if self.has_plugin else name

    def part(self, newer: str) -> dict[str, Any]:
        """A part of CRI's configuration that is in effect at the next start; containerd 1.x has only one."""
        plugins = tomllib.loads(self.node.run("containerd", "config", "dump").stdout)["plugins"]
        part: dict[str, Any] = plugins.get(f"io.containerd.cri.v1.{newer}") or plugins["io.containerd.grpc.v1.cri"]
        return part

    # Images

    def import_images(self, stop_signal: str = "") -> None:
        """All that pods need, so that nothing is pulled; those of systemd with this STOPSIGNAL."""
        archive = self.node.path("/tmp/image.tar")
        known = self._ctr("images", "ls", "--quiet").split() if stop_signal == self._stop_signal else []
        self._stop_signal = stop_signal
        for image in (each for each in IMAGES if images.name(each) not in known):
            images.write_systemd(image, archive, stop_signal)
            self.import_archive()
        if images.name(images.VOLUME) not in known:
            images.write_systemd(images.VOLUME_OF, archive, stop_signal, images.VOLUME)
            self.import_archive()
        part = self.part("images")
        pause = part.get("sandbox_image") or part["pinned_images"]["sandbox"]
        for image in (images.name("busybox"), pause):
            images.write_busybox(self.node.rootfs, archive, image, images.WAIT)
            self.import_archive()
        archive.unlink()

    def import_archive(self) -> None:
        """Import the archive /tmp/image.tar of the node."""
        self._ctr("images", "import", "--snapshotter=overlayfs", "--local", "/tmp/image.tar")

    def _ctr(self, *words: str) -> str:
        return self.node.run("ctr", "--namespace=k8s.io", *words).stdout

    # What becomes of a container

    def described(self, container_id: str) -> Any:
        """A container's config.json as containerd made it."""
        return self.cri.info(container_id)["runtimeSpec"]

    def given(self, container_id: str) -> Any:
        """A container's config.json as the real runtime got it."""
        bundle = self.node.path(BUNDLES / container_id)
        given = bundle / "config.json.given"  # where limits were dropped from it afterwards
        return json.loads((given if given.exists() else bundle / "config.json").read_text())
