"""The plugin under real containerds: containers equal the wrapper's, and none is lost when the plugin stops and starts again."""

import json
import re
import statistics
import time
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from typing import Any

import grpc
import pytest

from oci_systemd.core.settings import Settings
from oci_systemd.core.signals import ADJUSTED
from tests.cri.kubelet import Kubelet
from tests.cri.pod import Mount, Pod
from tests.e2e.conftest import BY_NRI
from tests.e2e.lab.container import PROMPT, until
from tests.e2e.lab.containerd import CRUN_HANDLER, HANDLER, PLAIN, PLUGIN_LOG, Containerd
from tests.e2e.lab.images import ENTRYPOINT, WAIT, name
from tests.e2e.lab.pods import INIT, Case, Guest, begin, sandbox
from tests.nri.calls import Asked
from tests.nri.merging import merged, seen
from tests.nri.requests import request

pytestmark = [pytest.mark.engine, pytest.mark.parametrize("engine", BY_NRI, indirect=True)]

KEY = "io.systemd.container"
# What `/proc/1/mountinfo` and a config.json hold that differs from one container to the next.
IDS = re.compile(
    r"[0-9a-f]{64}|[0-9a-f]{8}-(?:[0-9a-f]{4}-){3}[0-9a-f]{12}|/proc/\d+/|(?<=container_uuid=)[0-9a-f]{32}"
)
LIMIT = 20


def volumes(*places: str) -> Any:
    def made(kubelet: Kubelet, pod: Pod) -> list[Mount]:
        scratch = [kubelet.empty_dir(pod, f"scratch-{index}", place) for index, place in enumerate(places)]
        return [*scratch, kubelet.service_account(pod)]

    return made


PARITY = {
    **{image: Case(replace(INIT, image=name(image))) for image in ("debian-12", "debian-13", "forky")},
    "token": Case(volumes=volumes()),
    **{
        f"emptydir-{image}-{place.strip('/').replace('/', '-')}": Case(
            replace(INIT, image=name(image)), volumes=volumes(place)
        )
        for image in ("debian-12", "debian-13")
        for place in ("/run", "/var/run", "/run/lock", "/tmp", "/var/log")
    },
    "many-volumes": Case(volumes=volumes("/run", "/run/lock", "/var/lib/x", "/data", "/data/deep/er")),
    "privileged": Case(pod={"privileged": True}),
    "read-only-root": Case(replace(INIT, readonly_root=True)),
    "asked": Case(replace(INIT, command=[ENTRYPOINT]), pod={"annotations": {KEY: "true"}}),
    "own-tmpfs": Case(pod={"annotations": {f"{KEY}.tmpfs": "/run,/run/lock,/tmp,/scratch"}}),
    "machine-id-of-the-pod": Case(pod={"annotations": {f"{KEY}.machine-id": "pod"}}),
    "own-environment": Case(replace(INIT, environment={"container": "docker", "X": "a=b"})),
    "crun": Case(pod={"handler": CRUN_HANDLER}),
    "cgroup-alone": Case(replace(INIT, command=WAIT), pod={"annotations": {f"{KEY}.cgroup": "rw"}}),
    "shell": Case(replace(INIT, command=WAIT)),
}


@dataclass
class Made:
    """A container: its config.json, and what its first process sees."""

    config: dict[str, Any]
    mounts: dict[str, tuple[str, ...]]
    environment: set[str]


def made(engine: Containerd, title: str) -> Made:
    guest = begin(engine, title, PARITY[title])
    with guest.where:
        if guest.container.command != WAIT:
            assert guest.system_state() in ("running", "degraded"), guest.log
        config = without_ids(guest.given)
        shown = guest.output("cat", "/proc/1/mountinfo")
        environment = IDS.sub("ID", guest.output("cat", "/proc/1/environ")).split("\0")
    return Made(config, visible(shown), {*environment})


def visible(mountinfo: str) -> dict[str, tuple[str, ...]]:
    """PID 1's mounts: the type, and the mount's own options; the last one counts.

    What systemd mounts itself is the same in both.
    """
    found = {}
    for line in IDS.sub("ID", mountinfo).splitlines():
        fields = line.split()
        rest = fields[fields.index("-") + 1 :]
        found[fields[4]] = (rest[0], *sorted(fields[5].split(",")))
    return found


@pytest.fixture(scope="module")
def both(engine: Containerd) -> Iterator[tuple[dict[str, Made], dict[str, Made]]]:
    """Each case by the wrapper alone, then by the plugin alone, on one containerd."""
    with ThreadPoolExecutor(4) as pool:
        engine.stop_plugin()
        wrapper = dict(zip(PARITY, pool.map(lambda title: made(engine, title), PARITY), strict=True))
        engine.start_plugin()
        plugin = dict(zip(PARITY, pool.map(lambda title: made(engine, title), PARITY), strict=True))
    yield wrapper, plugin


@pytest.mark.parametrize("title", PARITY)
def test_config_differs_in_nothing_but_what_nri_cannot_do(
    both: tuple[dict[str, Made], dict[str, Made]], title: str
) -> None:
    wrapper, plugin = (without_beyond(each[title].config, PARITY[title].pod) for each in both)
    assert plugin == wrapper


def without_beyond(config: dict[str, Any], pod: Mapping[str, Any]) -> dict[str, Any]:
    """Its mounts by where each is seen, without the consoles, and without annotations that only our handlers pass on."""
    passed = pod.get("annotations", {})
    linux = {key: value for key, value in config["linux"].items() if key != "devices"}
    annotations = {key: value for key, value in config["annotations"].items() if key not in passed}
    return {**config, "linux": linux, "annotations": annotations, "mounts": seen(config)}


@pytest.mark.parametrize("title", PARITY)
def test_systemd_sees_the_same_mounts(both: tuple[dict[str, Made], dict[str, Made]], title: str) -> None:
    wrapper, plugin = (each[title].mounts for each in both)
    assert plugin == wrapper


@pytest.mark.parametrize("title", PARITY)
def test_systemd_has_the_same_environment(both: tuple[dict[str, Made], dict[str, Made]], title: str) -> None:
    wrapper, plugin = (each[title].environment for each in both)
    assert plugin == wrapper


@pytest.fixture(scope="module")
def described(engine: Containerd) -> Iterator[tuple[dict[str, Any], dict[str, Any]]]:
    """Each case as containerd describes it, without and with the plugin; nothing of it is started."""
    engine.stop_plugin()
    without = {title: described_for(engine, title) for title in PARITY}
    engine.start_plugin()
    yield without, {title: described_for(engine, title) for title in PARITY}


def described_for(engine: Containerd, title: str) -> Any:
    case = PARITY[title]
    # Without the plugin the case's own handler would be ours.
    handler = PLAIN[case.pod.get("handler", HANDLER)]
    with sandbox(engine, title, replace(case, pod={**case.pod, "handler": handler})) as pod:
        mounts = [*case.volumes(engine.kubelet, pod.pod), *engine.kubelet.own_mounts(pod.pod, case.container.name)]
        id = engine.cri.create(pod.id, pod.pod, replace(case.container, mounts=mounts))
        spec = engine.described(id)
        spec["annotations"] |= case.pod.get("annotations", {})  # which NRI shows, and the handler does not pass
        return id, spec


@pytest.mark.parametrize("title", PARITY)
def test_containerd_merges_as_the_model_does(described: tuple[dict[str, Any], dict[str, Any]], title: str) -> None:
    """The model stands in for it where the corpus is compared."""
    (id, given), (_, result) = (each[title] for each in described)
    uid = given["annotations"]["io.kubernetes.cri.sandbox-uid"]
    asked = Asked(Settings({"cgroup.require_nsdelegate": False}))
    expected = merged(given, asked.create(request(given, id, "main", uid)))
    assert without_ids(expected) == without_ids(result)


def without_ids(value: dict[str, Any]) -> Any:
    return json.loads(IDS.sub("ID", json.dumps(value)))


def test_where_both_are_on_the_wrapper_finds_nothing_to_do(engine: Containerd) -> None:
    with sandbox(engine, "both", Case()) as plain:
        by_plugin = plain.run(INIT)
        described = by_plugin.described
        assert by_plugin.system_state() == "running", by_plugin.log
        assert by_plugin.given == described
    engine.has_plugin = False  # so that the case has the wrapper's handler
    try:
        guest = begin(engine, "both-on", Case())
    finally:
        engine.has_plugin = True
    with guest.where:
        assert guest.system_state() == "running", guest.log
        assert guest.given == guest.described
        assert ADJUSTED in guest.given["annotations"]


def test_a_pod_that_names_its_uid_is_created(engine: Containerd) -> None:
    guest = begin(
        engine, "uid", Case(pod={"annotations": {"io.kubernetes.pod.uid": "8b1a9953-c461-4296-a827-abf8c47804d7"}})
    )
    with guest.where:
        assert guest.system_state() == "running", guest.log


def test_what_it_cannot_do_is_told(engine: Containerd) -> None:
    guest = begin(engine, "told", Case())
    with guest.where:
        line, adjusted = told(engine, guest, "stop"), told(engine, guest, "adjusted")
    assert "STOPSIGNAL SIGRTMIN+3 in the image" in line["reason"]
    assert (line["level"], line["pod"]) == ("info", "default/told")
    assert adjusted["warnings"] == []


def told(engine: Containerd, guest: Guest, message: str) -> dict[str, Any]:
    """The line of the plugin's about a container; it comes after the answer."""

    def lines() -> list[dict[str, Any]]:
        found = map(json.loads, engine.plugin_log().splitlines())
        return [each for each in found if each["container_id"] == guest.id and each["message"] == message]

    until(lambda: str(len(lines())), lambda count: count != "0", LIMIT)
    assert lines(), engine.plugin_log()
    return lines()[-1]


def test_doctor_finds_it(engine: Containerd) -> None:
    """On a busy machine the engine may just have dropped the plugin, which connects again."""

    def doctor() -> str:
        return engine.node.run("oci-systemd", "doctor", "--json", check=False).stdout

    said = until(doctor, lambda said: "our plugin is connected" in said, LIMIT)
    found = json.loads(said)
    assert [each["subject"] for each in found if "our plugin is connected" in each["said"]] == ["containerd"], said


def test_what_ran_before_is_told_where_it_should_have_been_adjusted(engine: Containerd) -> None:
    """A privileged systemd boots unmodified; an adjusted one is recognised."""
    served = begin(engine, "served", Case())
    engine.stop_plugin()
    try:
        missed = sandbox(engine, "missed", Case(pod={"privileged": True, "handler": "runc"}))
        guest = missed.run(INIT)
    finally:
        engine.start_plugin()
    with missed, served.where:
        assert "created without this plugin" in told(engine, guest, "missed")["reason"]
        lines = [json.loads(line) for line in engine.plugin_log().splitlines()]
        assert [each for each in lines if each["message"] == "missed" and each["container_id"] == served.id] == []


PROGRAM = "/opt/nri/plugins/10-oci-systemd"


def test_the_engine_may_start_it_itself(engine: Containerd) -> None:
    engine.stop_plugin()
    program = engine.node.path(PROGRAM)
    program.parent.mkdir(parents=True, exist_ok=True)
    program.write_text("#!/bin/sh\nexec /usr/bin/oci-systemd nri\n")
    program.chmod(0o755)
    try:
        engine.restart()
        guest = begin(engine, "launched", Case(pod={"handler": "runc"}))
        with guest.where:
            assert guest.system_state() == "running", guest.log
            assert ADJUSTED in guest.given["annotations"]
    finally:
        program.unlink()
        engine.restart()
        engine.start_plugin()


def test_it_is_back_when_the_engine_is(engine: Containerd) -> None:
    before = begin(engine, "before", Case())
    with before.where:
        for _ in range(3):
            engine.restart()
            engine.wait_connected()
            guest = begin(engine, "after", Case())
            with guest.where:
                assert ADJUSTED in guest.given["annotations"]
        assert before.system_state() == "running"
        assert before.stop() < PROMPT, before.log


def test_who_does_not_ask_never_notices_that_it_is_killed(engine: Containerd) -> None:
    def kill() -> None:
        engine.node.run("sh", "-c", f"kill -KILL $(cat {PLUGIN_LOG}.pid)")
        time.sleep(0.3)

    with ThreadPoolExecutor(4) as pool:
        running = [pool.submit(lambda each: waited(engine, f"unasked-{each}"), number) for number in range(12)]
        for _ in range(3):
            kill()
            engine.start_plugin()
        assert [each.result() for each in running] == [True] * 12
    guest = begin(engine, "asked-again", Case())
    with guest.where:
        assert guest.system_state() == "running", guest.log


def waited(engine: Containerd, title: str) -> bool:
    guest = begin(engine, title, Case(replace(INIT, command=WAIT)))
    with guest.where:
        return guest.is_running()


CREATES = 200


def test_what_it_adds_to_a_creation(engine: Containerd, capsys: pytest.CaptureFixture[str]) -> None:
    """CreateContainer of CRI, in turns with and without the plugin. The figures are printed, and no time is judged."""
    found: dict[bool, list[float]] = {True: [], False: []}
    with sandbox(engine, "latency", Case(pod={"handler": "runc"})) as pod:
        for turn in range(8):
            plugged = turn % 2 == 0
            if engine.has_plugin and not plugged:
                engine.stop_plugin()
            if plugged and not engine.has_plugin:
                engine.start_plugin()
            for number in range(CREATES // 4):
                container = replace(INIT, name=f"c{turn}-{number}")
                begun = time.monotonic()
                made = engine.cri.create(pod.id, pod.pod, container)
                found[plugged].append(time.monotonic() - begun)
                engine.cri.remove(made)
        engine.start_plugin()
    memory = engine.node.run("sh", "-c", f"grep VmRSS /proc/$(cat {PLUGIN_LOG}.pid)/status").stdout.split()[1]
    with capsys.disabled():
        for plugged, seconds in found.items():
            cuts = statistics.quantiles(seconds, n=100)
            print(f"\n{engine.version} {'with' if plugged else 'without'} plugin: median {cuts[49] * 1000:.2f} ms, "
                  f"p99 {cuts[98] * 1000:.2f} ms ({len(seconds)} creates)", end="")  # fmt: skip
        print(f"\nresident {int(memory) // 1024} MB")
    assert all(len(each) == CREATES for each in found.values())


def test_a_hundred_creations_at_once_are_all_adjusted(engine: Containerd) -> None:
    with sandbox(engine, "crowd", Case(pod={"handler": "runc"})) as pod, ThreadPoolExecutor(100) as pool:
        before = engine.plugin_log().count('"message":"adjusted"')

        def create(number: int) -> str:
            try:
                return engine.cri.create(pod.id, pod.pod, replace(INIT, name=f"c{number}"))
            except grpc.RpcError as error:
                return str(error.details())

        ids = [*pool.map(create, range(100))]
        assert all(re.fullmatch("[0-9a-f]{64}", each) for each in ids), ids
        assert all(ADJUSTED in engine.described(each)["annotations"] for each in ids)
        until(lambda: str(engine.plugin_log().count('"message":"adjusted"')), lambda n: int(n) >= before + 100, LIMIT)
        assert engine.plugin_log().count('"message":"adjusted"') == before + 100
