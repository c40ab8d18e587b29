"""The image as installer of a node with systemd: the node's own systemd restarts the engine, and the plugin sees nsdelegate."""

import shutil
from collections.abc import Iterator

import grpc
import pytest

from tests.e2e.lab.product import HOME, make
from tests.machine.lab.archives import image
from tests.machine.lab.life import booted, until
from tests.machine.lab.machine import Machine
from tests.machine.lab.pods import EXITED, Kubelet, PodGuest, Rights
from tests.machine.test_install import HANDLER, in_containerd, started

pytestmark = pytest.mark.engine

NAME = "oci-systemd"
PROGRAM = f"{HOME}/bin/oci-systemd"
FILES = "find /etc /opt /usr/bin/oci-systemd* -type f -exec sha256sum {} +; find /opt"
INSTALLER = Rights(
    user=0,
    drop=["ALL"],
    add=["CHOWN", "DAC_OVERRIDE", "FOWNER", "SYS_CHROOT"],
    volumes={"/host": "/"},
    seccomp="RuntimeDefault",
)
PLUGIN = Rights(user=0, drop=["ALL"], volumes={"/var/run/nri": "/var/run/nri"}, seccomp="RuntimeDefault")
TO_END = 120
INSTANCES, SYSCTL = "/proc/sys/fs/inotify/max_user_instances", "/etc/sysctl.d/60-oci-systemd.conf"


@pytest.fixture(scope="module")
def node(machine: Machine, kubelet: Kubelet, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Kubelet]:
    """The machine with the image in its store."""
    there = tmp_path_factory.mktemp("image")
    make("image", f"IMAGE={image(NAME)}", out=there / "build")
    (there / "sent").mkdir()
    shutil.move(there / "build/oci-systemd.oci.tar", there / "sent/image.tar")
    machine.send(there / "sent", "/tmp/sent")
    done = kubelet.ctr("images", "import", "--local", f"--index-name={image(NAME)}", "/tmp/sent/image.tar")
    assert done.returncode == 0, done.stderr
    yield kubelet
    kubelet.ctr("images", "rm", image(NAME))


def state(guest: PodGuest) -> str:
    """Of a container whose engine may just be starting anew."""
    try:
        return str(guest.state())
    except grpc.RpcError:
        return ""


def run(node: Kubelet, *words: str) -> tuple[int, str]:
    """The exit code and the log of the installer's pod."""
    command = (PROGRAM, words[0], "containerd", "--root=/host", "--restart=auto", f"--handler={HANDLER}", *words[1:])
    with node.pod("runc", NAME, *command, rights=INSTALLER) as guest:
        until(lambda: state(guest), str(EXITED).__eq__, TO_END)
        return guest.exit_code(), guest.logs()


def test_the_node_s_systemd_restarts_the_engine(machine: Machine, node: Kubelet) -> None:
    files = machine.script(FILES)
    code, said = run(node, "install")
    assert (code, "done: systemctl restart containerd" in said) == (0, True), said
    assert in_containerd(machine)[HANDLER]["options"]["BinaryName"].startswith(f"{HOME}/bin/oci-systemd-runtime")
    since = started(machine, "containerd")
    code, said = run(node, "install")
    assert (code, "nothing to do" in said, started(machine, "containerd")) == (0, True, since), said
    with node.pod(HANDLER, "debian-13") as guest:
        assert booted(guest) == "running"
        code, said = run(node, "uninstall")
        assert (code, "still uses the wrapper" in said) == (2, True), said
    code, said = run(node, "uninstall")
    assert code == 0, said
    assert HANDLER not in in_containerd(machine)
    assert machine.script(FILES) == files


def test_its_few_rights_are_enough_for_the_node_s_limit(machine: Machine, node: Kubelet) -> None:
    """root's user ID alone opens the sysctl (proc(5), user_namespaces(7)); the pod has no capability for it."""
    files, before = machine.script(FILES), machine.output("cat", INSTANCES)
    machine.write(INSTANCES, "128\n")
    try:
        code, said = run(node, "install", "--sysctl")
        assert (code, f"wrote {SYSCTL}" in said, machine.output("cat", INSTANCES)) == (0, True, "1024"), said
        assert "fs.inotify.max_user_instances = 1024" in machine.output("cat", SYSCTL)
        code, said = run(node, "uninstall")
        assert (code, machine.output("cat", INSTANCES)) == (0, "128"), said
    finally:
        machine.write(INSTANCES, f"{before}\n")
    assert machine.script(FILES) == files


def test_an_engine_that_does_not_come_up_gets_its_files_back(machine: Machine, node: Kubelet) -> None:
    """Not by our doing: its unit's start is made to fail as long as our handler is in its files."""
    guard = f"[Service]\nExecStartPre=sh -c '! grep -rqs {HANDLER} /etc/containerd'\n"
    machine.write("/run/systemd/system/containerd.service.d/guard.conf", guard)
    machine.run("systemctl", "daemon-reload")
    files = machine.script(FILES)
    try:
        code, said = run(node, "install")
    finally:
        machine.script(
            "rm -r /run/systemd/system/containerd.service.d; systemctl daemon-reload; systemctl restart containerd"
        )
        node.cri.wait_ready(TO_END)
    assert (code, "rolled back, and the engine runs" in said) == (2, True), said
    assert HANDLER not in in_containerd(machine)
    since = started(machine, "containerd")
    code, said = run(node, "install")
    assert (code, "the same change failed" in said, started(machine, "containerd")) == (2, True, since), said
    machine.script("rm /run/oci-systemd/containerd.json")
    assert run(node, "install")[0] == run(node, "uninstall")[0] == 0
    assert machine.script(FILES) == files


def test_the_plugin_s_pod_sees_the_node_s_nsdelegate(node: Kubelet) -> None:
    """Of the host it is given no mount but the socket's: its own cgroup2 mount shows how the host's was made."""
    with node.pod("runc", NAME, PROGRAM, "nri", rights=PLUGIN) as plugin:
        connected = until(
            lambda: plugin.ask(PROGRAM, "nri", "--check"), lambda said: said.startswith("connected"), TO_END
        )
        assert connected.startswith("connected"), plugin.logs()
        with node.pod("runc", "debian-13") as guest:
            assert booted(guest) == "running"
        assert guest.id in plugin.logs()
