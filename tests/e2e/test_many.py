"""A hundred pods at once through our handler, which is every pod's: half of them boot systemd, half of them do not ask for it.

What that costs is printed beside as many ordinary pods under plain runc; no time is judged.
"""

import statistics
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from tests.e2e.lab.containerd import Containerd
from tests.e2e.lab.images import WAIT
from tests.e2e.lab.pods import INIT, Case, Guest, begin

pytestmark = pytest.mark.engine

PODS = 100
WAITING = replace(INIT, command=WAIT)


@dataclass(frozen=True)
class Crowd:
    """The result of all pods and their cost; latencies are those of a pod's three calls that lead to its start."""

    states: list[str]
    latencies: list[float]
    seconds: float
    busy: float
    load: float
    memory: int

    def __str__(self) -> str:
        latency = statistics.quantiles(self.latencies, n=20)
        return (
            f"started in {latency[9]:.1f} s (median), {latency[18]:.1f} s (p95); all up in {self.seconds:.1f} s, "
            f"{self.busy:.1f} s of CPU, load {self.load:.0f}, {self.memory} MB"
        )


def crowd(engine: Containerd, handler: str, systemds: int) -> Crowd:
    cases = [Case(INIT if number < systemds else WAITING, {"handler": handler}) for number in range(PODS)]
    with ThreadPoolExecutor(PODS) as pool:
        begun, busy_before, memory_before = time.monotonic(), busy(), memory()
        started = [*pool.map(lambda each: timed(engine, f"crowd-{each[0]}", each[1]), enumerate(cases))]
        states = [*pool.map(lambda each: state(each[0]), started)]
        result = Crowd(
            states,
            [latency for _, latency in started],
            time.monotonic() - begun,
            busy() - busy_before,
            float(Path("/proc/loadavg").read_text().split()[0]),
            memory_before - memory(),
        )
        for _ in pool.map(lambda each: each[0].where.close(), started):
            pass
    return result


def timed(engine: Containerd, title: str, case: Case) -> tuple[Guest, float]:
    begun = time.monotonic()
    guest = begin(engine, title, case)
    return guest, time.monotonic() - begun


def state(guest: Guest) -> str:
    if guest.container.command == WAIT:
        return "waiting" if guest.is_running() else "ended"
    return guest.system_state(120)


def busy() -> float:
    """Seconds that this machine's processors have worked (proc_stat(5): all but idle and iowait, in hundredths)."""
    user, nice, system, _, _, *more = map(int, Path("/proc/stat").read_text().splitlines()[0].split()[1:8])
    return (user + nice + system + sum(more)) / 100


def memory() -> int:
    """Megabytes that are available."""
    lines = (line.split() for line in Path("/proc/meminfo").read_text().splitlines())
    return next(int(line[1]) // 1024 for line in lines if line[0] == "MemAvailable:")


@pytest.fixture
def serving_all(engine: Containerd) -> Iterator[Containerd]:
    """The engine with our handler for pods that name none."""
    engine.install_handlers("--default")
    engine.restart()
    yield engine
    engine.install_handlers()
    engine.restart()


@pytest.mark.parametrize("engine", ["containerd-2-packaged"], indirect=True)
def test_a_hundred_pods_at_once_come_up(serving_all: Containerd, capsys: pytest.CaptureFixture[str]) -> None:
    plain = crowd(serving_all, "runc", 0)
    ours = crowd(serving_all, "", PODS // 2)
    with capsys.disabled():
        print(f"\n{PODS} ordinary pods, runc:              {plain}")
        print(f"{PODS} pods, half systemd, oci-systemd: {ours}")
    assert plain.states == ["waiting"] * PODS
    assert ours.states == ["running"] * (PODS // 2) + ["waiting"] * (PODS // 2)
