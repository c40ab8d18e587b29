"""systemd in pods: containerd boots, stops and logs it as the kubelet asks, whatever else the pod brings along.

All pods of one engine boot beside each other, and are written down; the tests read one thing each.
"""

from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace

import grpc
import pytest

from tests.cri.client import Result
from tests.cri.kubelet import Kubelet
from tests.cri.pod import RUNTIME_DEFAULT, Mount, Pod, Profile
from tests.e2e.conftest import BY_WRAPPER, ENGINES
from tests.e2e.lab.container import PROMPT
from tests.e2e.lab.containerd import CRUN_HANDLER, Containerd
from tests.e2e.lab.images import ENTRYPOINT, VOLUME, name
from tests.e2e.lab.pods import INIT, Case, Guest, begin

pytestmark = pytest.mark.engine

KEY = "io.systemd.container"
SECRETS = "/var/run/secrets/kubernetes.io/serviceaccount"
TOKEN = {f"cat {SECRETS}/token": "token"}
LOCK = {"echo taken >/run/lock/e2e && cat /run/lock/e2e": "taken"}
CONSOLE = replace(INIT, command=["/lib/systemd/systemd"], args=["--system", "--log-target=console"], tty=True)


def empty_dir(path: str) -> Callable[[Kubelet, Pod], list[Mount]]:
    return lambda kubelet, pod: [kubelet.empty_dir(pod, "scratch", path, mark="kept")]


def token(kubelet: Kubelet, pod: Pod) -> list[Mount]:
    return [kubelet.service_account(pod)]


def empty_run_and_token(kubelet: Kubelet, pod: Pod) -> list[Mount]:
    return empty_dir("/run")(kubelet, pod) + token(kubelet, pod)


@dataclass(frozen=True)
class Boots(Case):
    """A pod that boots, and the output of shell commands in it; `by_wrapper`: their output where NRI cannot do it."""

    shows: Mapping[str, str] = field(default_factory=dict)
    by_wrapper: Mapping[str, str] = field(default_factory=dict)
    keeps_machine_id: bool = True
    states: tuple[str, ...] = ("running",)
    exit_code: int = 0


CASES = {
    **{image: Boots(replace(INIT, image=name(image))) for image in ("debian-12", "debian-13", "forky")},
    "example": Boots(
        replace(
            CONSOLE,
            args=["--system", "--unit=multi-user.target", "--log-target=console", "--log-level=debug"],
            seccomp=Profile(RUNTIME_DEFAULT),
        ),
        volumes=token,
        shows={**TOKEN, "cat /sys/fs/cgroup/cgroup.max.descendants": "1000"},
    ),
    "token": Boots(volumes=token, shows=TOKEN),
    **{
        f"emptydir-{place.strip('/').replace('/', '-')}-{image}": Boots(
            replace(INIT, image=name(image)),
            volumes=empty_dir(place),
            shows={**LOCK, f"cat {place}/mark": "kept"},
        )
        for place in ("/run", "/var/run", "/run/lock")
        for image in ("debian-12", "debian-13")
    },
    "emptydir-run-and-token": Boots(volumes=empty_run_and_token, shows={**LOCK, **TOKEN, "cat /run/mark": "kept"}),
    # It may load modules, and has none; it may halt its PID namespace, and so dies of SIGINT (pid_namespaces(7), reboot(2)).
    "privileged": Boots(
        pod={"privileged": True},
        by_wrapper={"ls /dev | grep -c '^tty[0-9]'": "0"},
        states=("running", "degraded"),
        exit_code=130,
    ),
    "read-only-root": Boots(replace(INIT, readonly_root=True), states=("running", "degraded"), keeps_machine_id=False),
    "read-only-root-with-state": Boots(
        replace(INIT, readonly_root=True), volumes=empty_dir("/var/lib/systemd"), keeps_machine_id=False
    ),
    "asked": Boots(replace(INIT, command=[ENTRYPOINT]), pod={"annotations": {KEY: "true"}}),
    "volume-sys-fs-cgroup": Boots(
        replace(INIT, image=name(VOLUME)),
        shows={"stat -fc %T /sys/fs/cgroup": "cgroup2fs", "cat /sys/fs/cgroup/cgroup.max.descendants": "1000"},
    ),
    "crun": Boots(pod={"handler": CRUN_HANDLER}),
    "stop-signal": Boots(CONSOLE, pod={"annotations": {f"{KEY}.stop-signal": "SIGRTMIN+5"}}),
}
NEWER = {
    # With the cgroupfs driver runc gives the cgroup to nobody else (OwnerUID is the systemd driver's); crun does.
    "user-namespace": Boots(
        pod={"handler": CRUN_HANDLER, "user_namespace": 1 << 19, "host_network": False},
        shows={"stat -c %u /sys/fs/cgroup": "0", "head -n1 /proc/1/uid_map | xargs": "0 524288 65536"},
    ),
}
ALSO = "echo out; echo err >&2; exit 3"


@dataclass
class Life:
    """The observations of one pod; what was never seen is empty."""

    case: Boots
    shows: Mapping[str, str]
    id: str = ""
    state: str = ""
    failed: str = ""
    also: Result | None = None
    environment: list[str] = field(default_factory=list)
    machine_id: str = ""
    shown: dict[str, str] = field(default_factory=dict)
    time_to_stop: float = 0
    exit_code: int = -1
    log: str = ""


def boot(engine: Containerd, title: str, case: Boots) -> tuple[Life, Guest | None]:
    life = Life(case, {**case.shows, **({} if engine.has_plugin else case.by_wrapper)})
    try:
        guest = begin(engine, title, case)
    except grpc.RpcError as error:
        life.state = str(error.details())
        return life, None
    life.id, life.state = guest.id, guest.system_state()
    if life.state in ("running", "degraded"):
        life.failed = guest.output("systemctl", "--failed", "--no-legend", "--plain")
        life.also = guest.exec("/bin/sh", "-c", ALSO)
        life.environment = guest.output("cat", "/proc/1/environ").split("\0")
        life.machine_id = guest.output("cat", "/etc/machine-id")
        life.shown = {command: guest.output("/bin/sh", "-c", command) for command in life.shows}
    return life, guest


@pytest.fixture(scope="module")
def lives(engine: Containerd) -> Iterator[dict[str, Life]]:
    cases = CASES | (NEWER if engine.major >= 2 else {})
    with ThreadPoolExecutor(4) as pool:
        booted = dict(zip(cases, pool.map(lambda title: boot(engine, title, cases[title]), cases), strict=True))
        for life, guest in booted.values():
            if guest:
                life.time_to_stop = guest.stop()
                life.exit_code, life.log = guest.status.exit_code, guest.log
        guests = [guest for _, guest in booted.values() if guest]
        yield {title: life for title, (life, _) in booted.items()}
        for _ in pool.map(lambda guest: guest.where.close(), guests):
            pass


@pytest.fixture(params=CASES)
def life(request: pytest.FixtureRequest, lives: dict[str, Life]) -> Life:
    return lives[request.param]


def test_the_system_is_up(life: Life) -> None:
    assert life.state in life.case.states, (life.state, life.failed, life.log)


def test_exec_gives_both_streams_and_the_exit_code(life: Life) -> None:
    assert life.also == Result(3, "out\n", "err\n")


def test_machine_id_is_container_uuid_is_the_first_half_of_the_id(life: Life) -> None:
    assert f"container_uuid={life.id[:32]}" in life.environment
    assert life.machine_id == life.id[:32] or not life.case.keeps_machine_id


def test_what_the_pod_brings_along_is_visible(life: Life) -> None:
    assert life.shown == life.shows


def test_its_signal_stops_it(life: Life) -> None:
    assert 0 < life.time_to_stop < PROMPT, life.log


def test_it_ends_by_itself(life: Life) -> None:
    assert life.exit_code == life.case.exit_code


@pytest.mark.parametrize("engine", [each for each in ENGINES if "-2-" in each], indirect=True)
def test_a_pod_with_a_user_namespace_boots_and_owns_its_cgroups(lives: dict[str, Life]) -> None:
    life = lives["user-namespace"]
    assert (life.state, life.shown) == ("running", life.case.shows), life.log
    assert life.machine_id == life.id[:32]
    assert 0 < life.time_to_stop < PROMPT


def test_the_log_has_what_systemd_says_to_its_console(lives: dict[str, Life]) -> None:
    log = lives["example"].log
    assert "Initializing machine ID from container UUID" in log
    assert "Found cgroup2 on /sys/fs/cgroup/, full unified hierarchy" in log  # said at level debug only
    assert "Multi-User System" in log


@pytest.mark.parametrize("engine", BY_WRAPPER, indirect=True)
def test_the_signal_that_the_pod_names_is_the_one_that_systemd_gets(lives: dict[str, Life]) -> None:
    assert "Rebooting." in lives["stop-signal"].log
    assert "Halting system." in lives["example"].log
