"""The image as a DaemonSet runs it on a node: the installer, an upgrade under a running pod, the removal; and the NRI plugin."""

import os
import re
import shutil
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path

import grpc
import pytest

from oci_systemd.core.errors import Problem
from oci_systemd.installation import running
from tests.cri.client import EXITED
from tests.cri.pod import RUNTIME_DEFAULT, Container, Mount, Profile
from tests.e2e.lab.container import until
from tests.e2e.lab.containerd import LOG, SOCKET, Containerd
from tests.e2e.lab.node import SOURCE, Node
from tests.e2e.lab.pods import INIT, Case, Guest, begin, sandbox
from tests.e2e.lab.product import HOME, make, tree, version
from tests.e2e.lab.rootfs import NODES

pytestmark = pytest.mark.engine

IMAGE = "docker.io/lab/oci-systemd"
MANAGER = Path(__file__).parent / "lab/manager.sh"
CAPABILITIES = ("CHOWN", "DAC_OVERRIDE", "FOWNER", "SYS_CHROOT")
ROOT = Mount("/host", "/")
NEXT = "9.9.9"
# Where an installation could leave something.
KEPT = ("etc", "opt", "usr/bin", "usr/local")
ALLOW = "[cgroup]\nrequire_nsdelegate = false\n"


def job(tag: str, *args: str) -> Container:
    """The image, as hardened as the manifests have it."""
    return Container(
        name="job", image=f"{IMAGE}:{tag}", command=(), args=args, readonly_root=True, run_as_user=0,
        capabilities=CAPABILITIES, seccomp=Profile(RUNTIME_DEFAULT),
    )  # fmt: skip


def files(node: Node) -> dict[str, tuple[int, object]]:
    """Every file of the node, with its mode and content."""
    found: dict[str, tuple[int, object]] = {}
    for top in KEPT:
        for folder, folders, names in os.walk(node.path(top)):
            for each in (Path(folder, name) for name in (*folders, *names)):
                what = each.readlink() if each.is_symlink() else each.read_bytes() if each.is_file() else None
                found[str(each.relative_to(node.path("/")))] = each.lstat().st_mode, what
    return found


@dataclass
class Story:
    """The events of one node, each once."""

    codes: dict[str, int] = field(default_factory=dict)
    said: dict[str, str] = field(default_factory=dict)
    restarts: dict[str, int] = field(default_factory=dict)
    versions: dict[str, list[str]] = field(default_factory=dict)
    states: dict[str, str] = field(default_factory=dict)
    before: dict[str, tuple[int, object]] = field(default_factory=dict)
    after: dict[str, tuple[int, object]] = field(default_factory=dict)
    names: tuple[str, str] = ("", "")
    seconds_to_stop: float = 0


@pytest.fixture(scope="module")
def images(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """This version's image, and that of a next one, by their tags."""
    there = tmp_path_factory.mktemp("product")
    source = there / "source"
    shutil.copytree(SOURCE, source, ignore=shutil.ignore_patterns(".git", ".venv", "build", ".*_cache", "tests"))
    package = source / "oci_systemd/__init__.py"
    package.write_text(re.sub(r'__version__ = ".*"', f'__version__ = "{NEXT}"', package.read_text()))
    for name, words in {"1": (), "2": ("-C", str(source), f"VENV={SOURCE}/.venv")}.items():
        make(*words, "image", f"IMAGE={IMAGE}:{name}", out=there / name)
    return {name: there / name / "oci-systemd.oci.tar" for name in ("1", "2")}


@pytest.fixture(scope="module")
def engine(cache: None, inotify: None, images: dict[str, Path]) -> Iterator[Containerd]:
    with Node(NODES["runc-1.3"]) as node:
        node.spare_limits()
        engine = Containerd(node)
        engine.use_configuration("packaged")
        engine.start()
        engine.import_images()
        for tag, archive in images.items():
            shutil.copy(archive, node.path("/tmp/image.tar"))
            node.run(
                "ctr",
                "--namespace=k8s.io",
                "images",
                "import",
                "--local",
                f"--index-name={IMAGE}:{tag}",
                "/tmp/image.tar",
            )
        node.path("/etc/oci-systemd").mkdir()
        node.path("/etc/oci-systemd/config.toml").write_text(ALLOW if not node.nsdelegate() else "")
        shutil.copy(MANAGER, node.path("/tmp/manager.sh"))
        node.start("sh", "/tmp/manager.sh", LOG, log="/var/log/manager.log")
        yield engine
        engine.stop()
        engine.cri.close()


def state(guest: Guest) -> str:
    """Of a container whose engine may just be starting anew."""
    try:
        return str(guest.status.state)
    except grpc.RpcError:
        return ""


class Told:
    """Runs jobs on the node, and writes down how each went."""

    def __init__(self, engine: Containerd, story: Story) -> None:
        self.engine = engine
        self.story = story

    def run(self, name: str, tag: str, *args: str) -> None:
        with sandbox(self.engine, name.replace(" ", "-"), Case(pod={"handler": "runc"})) as pod:
            guest = pod.run(job(tag, *args), [ROOT])
            assert until(partial(state, guest), str(EXITED).__eq__, 60) == str(EXITED), guest.log
            self.story.codes[name] = guest.status.exit_code
            self.story.said[name] = guest.log
        done = self.engine.node.path("/run/systemd/done")
        self.story.restarts[name] = len(done.read_text().splitlines()) if done.exists() else 0
        there = self.engine.node.path(f"{HOME}/versions")
        self.story.versions[name] = sorted(each.name for each in there.iterdir()) if there.exists() else []


INSTALL = ("install", "containerd", "--root=/host", "--restart=auto")
LATE = "--handler=late"
UNINSTALL = ("uninstall", "containerd", "--root=/host", "--restart=auto")


@pytest.fixture(scope="module")
def story(engine: Containerd, images: dict[str, Path]) -> Story:
    old, new = (version(tree("amd64", images[tag].parent)) for tag in "12")
    story = Story(names=(old, new))
    told = Told(engine, story)
    story.before = files(engine.node)
    told.run("install", "1", *INSTALL)
    told.run("again", "1", *INSTALL)
    told.run("written", "1", "install", "containerd", "--root=/host", LATE)
    told.run("told", "1", *INSTALL, LATE)
    pod = begin(engine, "machine", Case())
    try:
        story.states["booted"] = pod.system_state()
        engine.node.start(f"{HOME}/versions/{story.names[0]}/bin/sh", "-c", "sleep 1000 & wait", log="/var/log/old.log")
        told.run("upgrade", "2", *INSTALL)
        engine.node.stop("/var/log/old.log")
        told.run("upgraded again", "2", *INSTALL)
        story.states["upgraded"] = pod.output("systemctl", "is-system-running")
        told.run("refused", "2", *UNINSTALL)
        story.seconds_to_stop = pod.stop()
    finally:
        pod.where.close()
    told.run("one handler less", "2", *UNINSTALL, LATE)
    told.run("removed", "2", *UNINSTALL)
    told.run("removed again", "2", *UNINSTALL)
    story.after = files(engine.node)
    return story


def test_the_node_is_configured_and_its_engine_restarted_once(story: Story) -> None:
    assert story.codes["install"] == 0, story.said["install"]
    assert "done: systemctl restart containerd" in story.said["install"]
    assert story.versions["install"] == [story.names[0]]
    assert story.restarts["install"] == 1


def test_once_more_changes_nothing(story: Story) -> None:
    assert (story.codes["again"], story.restarts["again"]) == (0, 1)
    assert "nothing to do" in story.said["again"]


def test_an_engine_that_was_not_told_yet_is_told(story: Story) -> None:
    """As after an installer that was stopped between the two."""
    assert (story.codes["written"], story.restarts["written"]) == (0, 1)
    assert (story.codes["told"], story.restarts["told"]) == (0, 2), story.said["told"]


def test_systemd_boots_by_the_handler(story: Story) -> None:
    assert story.states["booted"] == "running"


def test_an_upgrade_keeps_what_runs_and_needs_no_restart(story: Story) -> None:
    assert (story.codes["upgrade"], story.restarts["upgrade"]) == (0, 2), story.said["upgrade"]
    assert f"wrote {HOME}/current" in story.said["upgrade"]
    assert story.states["upgraded"] == "running"


def test_an_old_version_stays_as_long_as_something_runs_from_it(story: Story) -> None:
    assert story.versions["upgrade"] == sorted(story.names)
    assert story.versions["upgraded again"] == [story.names[1]]


def test_a_pod_from_before_the_upgrade_stops_cleanly(story: Story) -> None:
    assert story.seconds_to_stop < 5


def test_removal_is_refused_while_a_pod_needs_it(story: Story) -> None:
    assert story.codes["refused"] == 2
    assert "a pod still uses the wrapper (default/machine)" in story.said["refused"]
    assert story.versions["refused"] == [story.names[1]]


def test_removal_leaves_the_node_as_it_was(story: Story) -> None:
    assert story.versions["one handler less"] == [story.names[1]]
    assert story.codes["removed"] == 0, story.said["removed"]
    assert story.restarts["removed"] == 4
    assert {
        path for path in story.before.keys() | story.after.keys() if story.before.get(path) != story.after.get(path)
    } == set()


def test_removal_once_more_is_no_error(story: Story) -> None:
    assert (story.codes["removed again"], story.restarts["removed again"]) == (0, 4)


def test_the_image_is_small(images: dict[str, Path]) -> None:
    assert images["1"].stat().st_size < 60 << 20


def test_the_engine_itself_is_asked_for_its_handlers(engine: Containerd, monkeypatch: pytest.MonkeyPatch) -> None:
    place = engine.node.path(SOCKET)
    assert "runc" in (running.handlers("containerd", place) or ())
    running.wait_for("containerd", "runc", place)
    monkeypatch.setattr(running, "PATIENCE", 0.5)
    with pytest.raises(Problem, match="running, but without the handler other"):
        running.wait_for("containerd", "other", place)
    with pytest.raises(Problem, match="does not answer"):
        running.wait_for("containerd", "runc", engine.node.path("/run/nobody.sock"))


# The same image as the plugin


@pytest.fixture
def plugin(engine: Containerd, story: Story) -> Iterator[Guest]:
    """The DaemonSet's pod: of the host it gets the folder of the engine's socket, and our settings."""
    mounts = [
        Mount("/var/run/nri", "/var/run/nri", readonly=True),
        Mount("/etc/oci-systemd", "/etc/oci-systemd", readonly=True),
    ]
    with sandbox(engine, "plugin", Case(pod={"handler": "runc"})) as pod:
        yield pod.run(replace(job("1", "nri"), capabilities=()), mounts)


def test_systemd_boots_by_the_plugin_in_a_pod(engine: Containerd, plugin: Guest) -> None:
    check = f"{HOME}/bin/oci-systemd nri --check"
    deadline = 100
    while not (said := plugin.output(*check.split())).startswith("connected") and (deadline := deadline - 1):
        pass
    assert said.startswith("connected to containerd"), plugin.log
    pod = begin(engine, "by-plugin", Case(pod={"handler": "runc"}, container=INIT))
    try:
        assert pod.system_state() == "running"
    finally:
        pod.where.close()
    assert '"adjusted"' in plugin.log
    assert plugin.stop() < 3
