"""Life after boot: the journal on the console, variables in services, credentials of a Secret.

One container of each node and image lives once, with all of it, and is written down; the tests read one thing each. Pods follow.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace

import pytest

from tests.cri.kubelet import Kubelet
from tests.cri.pod import Mount, Pod
from tests.e2e.conftest import BY_NRI, BY_WRAPPER
from tests.e2e.lab.container import PROMPT, Container, until
from tests.e2e.lab.containerd import Containerd
from tests.e2e.lab.node import Node
from tests.e2e.lab.pods import INIT, Case, begin
from tests.e2e.lab.rootfs import IMAGES, RootFS
from tests.e2e.lab.silence import silence
from tests.measure.credentials import PLACE, SECRETS, mount_secret, taken, write_secret
from tests.measure.environment import VALUES, environment

pytestmark = pytest.mark.engine

CONSOLE, ENVIRONMENT = "io.systemd.container.console", "io.systemd.container.environment"
VARIABLES = {f"VALUE_{number}": value for number, value in enumerate(VALUES.values())}
# What systemd 252 would read otherwise, in whatever form.
NOT_CARRIED = ("both kinds of quotes", "a carriage return", "ESC, BEL, DEL")
NOT_CARRIED_TOO = ("UTF-8 control character U+0085", "UTF-8 noncharacter: U+FFFE")
LOST = {f"VALUE_{number}" for number, name in enumerate(VALUES) if name in (*NOT_CARRIED, *NOT_CARRIED_TOO)}
UNITS = {
    "speaks": "[Service]\nType=oneshot\nExecStart=/bin/sh -c 'echo by stdout; echo by stderr >&2'\n",
    "fails": "[Service]\nType=oneshot\nExecStart=/bin/false\n",
    # 10,000 in 30 s is journald's own limit; and it counts systemd's words on the unit, too.
    "many": "[Service]\nType=oneshot\nLogRateLimitIntervalSec=0\n"
    "ExecStart=/bin/sh -c 'i=0; while [ $i -lt 10000 ]; do echo line-$i.; i=$((i+1)); done'\n",
}


@dataclass
class Life:
    """The observations of one container."""

    state: str = ""
    log: str = ""
    time_to_stop: float = 0
    environment: Mapping[str, str] = field(default_factory=dict)
    taken: list[str] = field(default_factory=list)
    told: str = ""


def prepare(container: Container) -> None:
    write_secret(container, "2026_01", SECRETS)
    mount_secret(container)
    spec = container.spec
    spec["process"]["env"] += [f"{name}={value}" for name, value in VARIABLES.items()]
    spec["annotations"] = {CONSOLE: "journal", ENVIRONMENT: "VALUE_*"}
    container.write(spec)
    for name, text in UNITS.items():
        (container.layer / "etc/systemd/system" / f"{name}.service").write_text(text)


def work(container: Container, life: Life) -> None:
    for name in UNITS:
        container.exec("systemctl", "start", name)
    container.exec("logger", "--priority", "user.err", "by logger")
    container.exec("systemctl", "restart", "systemd-journald")
    container.exec("logger", "after a restart")
    container.exec("systemctl", "daemon-reexec")
    container.exec("systemctl", "restart", "systemd-journald")
    container.exec("logger", "after another systemd")
    until(lambda: container.said, lambda said: "after another systemd" in said, 5)
    life.environment = environment(container)
    life.taken = [taken(container, "load"), taken(container, "import")]
    write_secret(container, "2026_02", SECRETS | {"app.password": "second"})
    life.taken += [taken(container, "load"), container.output("systemd-creds", "--system", "cat", "app.password")]


@pytest.fixture(scope="module")
def life(node: Node, image: RootFS) -> Iterator[Life]:
    with Container(node, image, terminal=True) as container:
        prepare(container)
        container.create_and_start()
        life = Life(container.system_state())
        if life.state == "running":
            work(container, life)
        with silence():
            life.time_to_stop = container.time_to_stop("TERM")
        life.log, life.told = container.said, node.path("/var/log/oci-systemd.log").read_text()
        yield life


def test_the_system_is_running(life: Life) -> None:
    assert life.state == "running", life.log


@pytest.mark.parametrize(
    "words",
    ["by stdout", "by stderr", "by logger", "Failed to start", "after a restart", "after another systemd"],
)
def test_the_journal_is_on_the_console(life: Life, words: str) -> None:
    assert words in life.log


def test_no_line_of_ten_thousand_is_lost(life: Life) -> None:
    assert [number for number in range(10_000) if f"line-{number}." not in life.log] == []


def test_the_log_has_no_escapes_and_no_prompt(life: Life) -> None:
    assert "\x1b" not in life.log
    assert "login:" not in life.log


def test_each_entry_stands_there_once(life: Life) -> None:
    assert life.log.count("by stdout") == 1
    assert life.log.count("Reached target multi-user.target") == 1


def test_it_stops_by_itself(life: Life) -> None:
    assert 0 < life.time_to_stop < PROMPT


def test_variables_arrive_byte_for_byte_in_services(life: Life) -> None:
    expected = {name: value for name, value in VARIABLES.items() if name not in LOST}
    assert {name: value for name, value in life.environment.items() if name in VARIABLES} == expected


@pytest.mark.parametrize("name", sorted(LOST))
def test_a_variable_that_cannot_be_carried_is_reported(life: Life, name: str) -> None:
    assert f"variable '{name}' does not reach the services" in life.told


def test_a_unit_takes_what_the_secret_has_now(life: Life, image: RootFS) -> None:
    imported = "" if image is IMAGES["debian-12"] else "first"  # ImportCredential= is of systemd 254
    assert life.taken == ["first", imported, "second", "second"]


def test_without_a_terminal_nothing_is_different_but_a_report(node: Node) -> None:
    with silence(), Container(node, IMAGES["debian-13"]) as container:
        container.edit(lambda spec: spec.update(annotations={CONSOLE: "journal"}))
        container.create_and_start()
        assert container.system_state() == "running", container.said
        assert container.time_to_stop("TERM") < PROMPT
        last = node.path("/var/log/oci-systemd.log").read_text().splitlines()[-1]
    assert container.id in last and "add tty: true" in last


# --- pods ---

CAT = ("systemd-creds", "--system", "cat", "app.password")  # tells on stderr that a Secret's usual mode is too open
ANNOTATIONS = {CONSOLE: "journal", ENVIRONMENT: "services"}
TALKS = replace(INIT, tty=True, environment={"GREETING": 'say "hello world"', "HOME": "/nowhere"})


def secret(kubelet: Kubelet, pod: Pod) -> list[Mount]:
    return [kubelet.secret(pod, PLACE, "2026_01", {"app.password": "first"})]


@pytest.fixture
def pod_life(engine: Containerd) -> Iterator[Life]:
    """A pod that has all of it; nobody reads its log while it lives."""
    guest = begin(engine, "life", Case(TALKS, {"annotations": ANNOTATIONS}, secret))
    try:
        life = Life(guest.system_state())
        guest.exec("logger", "by logger")
        guest.exec("sh", "-c", "for i in $(seq 2000); do echo line-$i.; done | logger")
        shown = "--property=MainPID --value systemd-journald"
        entries = guest.output("sh", "-c", f"cat /proc/$(systemctl show {shown})/environ").split("\0")
        life.environment = dict(entry.partition("=")[::2] for entry in entries if entry)
        life.taken = [guest.exec(*CAT).stdout]
        engine.kubelet.secret(guest.where.pod, PLACE, "2026_02", {"app.password": "second"})
        life.taken += [guest.exec(*CAT).stdout]
        life.time_to_stop = guest.stop()
        life.log = guest.log
        life.told = next(line for line in reversed(engine.told().splitlines()) if guest.id in line)
        yield life
    finally:
        guest.where.close()


@pytest.mark.parametrize("engine", BY_WRAPPER, indirect=True)
def test_a_pods_log_is_its_journal_and_its_variables_reach_services(pod_life: Life) -> None:
    assert pod_life.state == "running", pod_life.log
    assert "by logger" in pod_life.log and "\x1b" not in pod_life.log
    assert [number for number in range(1, 2001) if f"line-{number}." not in pod_life.log] == []
    assert pod_life.environment["GREETING"] == TALKS.environment["GREETING"]
    assert pod_life.environment.get("HOME") != "/nowhere"
    assert pod_life.environment["KUBERNETES_SERVICE_HOST"] == "10.96.0.1"
    assert pod_life.taken == ["first", "second"]
    assert 0 < pod_life.time_to_stop < PROMPT
    assert '"warnings":[]' in pod_life.told and "hello world" not in pod_life.told


@pytest.mark.parametrize("engine", BY_NRI, indirect=True)
def test_an_nri_that_cannot_add_arguments_says_so(pod_life: Life) -> None:
    """containerd 1.7 and 2.1: arguments are of 2.2."""
    assert pod_life.state == "running", pod_life.log
    assert pod_life.taken == ["first", "second"]
    assert "GREETING" not in pod_life.environment
    assert "new arguments: unsupported by" in pod_life.told and "systemd.setenv=GREETING=\\u2026" in pod_life.told
    assert "hello world" not in pod_life.told
