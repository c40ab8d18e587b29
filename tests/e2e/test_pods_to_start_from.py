"""packaging/kubernetes/pods: each file's pod runs with only the images' names replaced, and does what its comment says."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.cri import manifest
from tests.cri.manifest import Manifest
from tests.e2e.lab.container import until
from tests.e2e.lab.containerd import HANDLER, Containerd
from tests.e2e.lab.images import name
from tests.e2e.lab.node import SOURCE
from tests.e2e.lab.pods import Guest, LivePod
from tests.e2e.lab.rootfs import IMAGES

pytestmark = pytest.mark.engine

FOLDER = SOURCE / "packaging/kubernetes/pods"
SIDECAR = name("busybox")
OID = uuid.UUID("6ba7b812-9dad-11d1-80b4-00c04fd430c8")
# The kubelet's probe of a TCP port, from the node, in the pod's network.
CONNECT = "import socket; socket.create_connection(('127.0.0.1', {port}), 1)"
LOOPBACK = ("busybox", "ifconfig", "lo", "up")  # which no plugin has set up
engine = pytest.mark.parametrize("engine", ["containerd-2-packaged"], indirect=True)
images = pytest.mark.parametrize("image", IMAGES)


@dataclass
class Started:
    """The pod of a file, with all its containers; `main` is the one with systemd."""

    file: Manifest
    where: LivePod
    main: Guest

    def in_network(self, *words: str) -> bool:
        """Run a command of the node in the pod's network; whether it succeeds."""
        pid = self.where.engine.cri.info(self.main.id)["pid"]
        return self.where.engine.node.run("nsenter", "--net", f"--target={pid}", *words, check=False).returncode == 0

    def connects(self, port: int) -> bool:
        return self.in_network("python3", "-c", CONNECT.format(port=port))

    def journal_of(self, unit: str) -> str:
        return self.main.output("journalctl", "--unit", unit, "--output", "cat", "--no-pager")


@contextmanager
def started(engine: Containerd, path: Path, image: str = "debian-13") -> Iterator[Started]:
    file = manifest.read(path)
    assert file.spec["runtimeClassName"] == HANDLER
    with LivePod(engine, file.pod(HANDLER)) as where:
        volumes = file.volumes(engine.kubelet, where.pod)
        guests = {}
        for given in file.spec["containers"]:
            main = given["name"] == "main"
            made = manifest.container(given, name(image) if main else SIDECAR, volumes)
            guests[given["name"]] = where.run(made, made.mounts)
        yield Started(file, where, guests["main"])


@contextmanager
def running(engine: Containerd, file: str, image: str = "debian-13") -> Iterator[Started]:
    """The pod of a file, booted and without a failed unit."""
    with started(engine, FOLDER / file, image) as pod:
        assert pod.main.system_state() == "running", pod.main.output("systemctl", "--failed", "--no-pager")
        yield pod


def comes(ask: Callable[[], str], part: str) -> bool:
    return part in until(ask, lambda said: part in said, 10)


@engine
def test_logs_shows_the_journal(engine: Containerd) -> None:
    with running(engine, "logs.yaml") as pod:
        pod.main.exec("systemd-run", "--quiet", "--wait", "echo", "a service says this")
        assert comes(lambda: pod.main.log, "a service says this")


@engine
def test_environment_reaches_services(engine: Containerd) -> None:
    with running(engine, "environment.yaml") as pod:
        show = ("systemd-run", "--quiet", "--wait", "--pipe", "printenv", "GREETING", "APP_OPTIONS")
        given = {each["name"]: each["value"] for each in pod.file.container("main")["env"]}
        assert pod.main.output(*show) == f"{given['GREETING']}\n{given['APP_OPTIONS']}"


@engine
@images
def test_secrets_reach_the_unit_that_names_them(engine: Containerd, image: str) -> None:
    with running(engine, "secrets.yaml", image) as pod:
        password = pod.file.data("Secret", "systemd-secrets")["app.password"]
        assert f"the password has {len(password)} bytes" in pod.journal_of("app.service")


@engine
@images
@pytest.mark.parametrize("code", [0, 3])
def test_job_ends_with_the_exit_code_of_its_unit(engine: Containerd, image: str, code: int, tmp_path: Path) -> None:
    (path := tmp_path / "job.yaml").write_text((FOLDER / "job.yaml").read_text().replace("exit 0'", f"exit {code}'"))
    with started(engine, path, image) as pod:
        assert pod.main.wait_exited(60), pod.main.log
        assert pod.main.status.exit_code == code
        assert "the work is done" in pod.main.log


@engine
@images
def test_vm_is_ready_once_it_has_booted_and_stays_the_same_machine(engine: Containerd, image: str) -> None:
    with started(engine, FOLDER / "vm.yaml", image) as pod:
        startup, readiness = (pod.file.container("main")[f"{kind}Probe"] for kind in ("startup", "readiness"))
        port = startup["tcpSocket"]["port"]
        assert pod.in_network(*LOOPBACK)
        assert until(lambda: str(pod.connects(port)), "True".__eq__, 60) == "True", pod.main.log
        assert pod.main.output("systemctl", "is-active", "multi-user.target") == "active"
        done = until(lambda: str(pod.main.exec(*readiness["exec"]["command"]).exit_code), "0".__eq__, 20)
        assert (done, pod.main.system_state()) == ("0", "running")
        assert all(pod.connects(port) for _ in range(5))
        wanted = uuid.uuid5(OID, f"default/{pod.file.name}/main").hex
        assert pod.main.output("cat", "/etc/machine-id") == wanted
        assert pod.main.output("sh", "-c", "echo kept >/srv/it && cat /srv/it") == "kept"
        assert pod.main.stop(pod.file.spec["terminationGracePeriodSeconds"]) < 10
        assert pod.main.status.exit_code == 0


@engine
def test_entrypoint_becomes_systemd_and_the_sidecar_does_not(engine: Containerd) -> None:
    with running(engine, "entrypoint.yaml") as pod:
        assert [each["name"] for each in pod.file.spec["containers"]] == ["main", "sidecar"]
        assert engine.given(pod.where.ids[-1]) == engine.described(pod.where.ids[-1])


@engine
def test_debug_tells_all_that_systemd_does(engine: Containerd) -> None:
    with running(engine, "debug.yaml") as pod:
        assert comes(lambda: pod.main.log, "Found cgroup2 on /sys/fs/cgroup/")  # said at level debug only


@engine
@images
def test_restricted_boots_and_has_state_and_temporary_files(engine: Containerd, image: str) -> None:
    with running(engine, "restricted.yaml", image) as pod:
        state = ("systemd-run", "--quiet", "--wait", "--property=StateDirectory=it", "--property=User=nobody", "true")
        assert pod.main.exec(*state).exit_code == 0
        assert pod.main.exec("systemd-tmpfiles", "--create").exit_code == 0


def test_every_file_is_tried_here() -> None:
    tried = Path(__file__).read_text()
    assert {each.name for each in FOLDER.iterdir() if f'"{each.name}"' not in tried} == set()
