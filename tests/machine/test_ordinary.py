"""Ordinary containers behave and print the same through the wrapper as under the real runtime, step by step, in every engine."""

from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import NamedTuple, TypeVar

import pytest

from tests.machine.lab.cli import Cli
from tests.machine.lab.engines import RUNTIMES, WRAPPERS, make_default, make_no_default, wrapper
from tests.machine.lab.life import until
from tests.machine.lab.machine import Machine
from tests.machine.lab.ordinary import EXPECTED, NO_KUBELET, Talk, as_expected, with_cli, with_kubelet
from tests.machine.lab.pods import Kubelet
from tests.machine.lab.together import together

pytestmark = pytest.mark.engine

# Left out because the runtime does not do it: a filter alone costs libseccomp two seconds here.
RUN = ["--network=none", "--security-opt=seccomp=unconfined"]


Way = TypeVar("Way")


class Pair(NamedTuple):
    real: Talk
    ours: Talk


def in_podman(machine: Machine, runtime: str) -> Pair:
    found = pair(lambda name: with_cli(Cli(machine, "podman", ["--runtime", name], RUN)), runtime, WRAPPERS[runtime])
    # Before what the runtime says podman puts the runtime's name.
    named, plain = f"{WRAPPERS[runtime]}:", f"{runtime}:"
    ours = {step: replace(said, stderr=said.stderr.replace(named, plain)) for step, said in found.ours.items()}
    return Pair(found.real, ours)


def in_docker(machine: Machine, runtime: str) -> Pair:
    """The wrapper as Docker's default runtime."""
    make_default(machine, runtime)
    try:
        return pair(lambda run: with_cli(Cli(machine, "docker", run=run)), [*RUN, "--runtime", runtime], RUN)
    finally:
        make_no_default(machine, runtime)


def in_containerd(machine: Machine, runtime: str) -> Pair:
    kubelet = Kubelet(machine)
    return pair(lambda handler: with_kubelet(kubelet, handler), runtime, WRAPPERS[runtime])


def pair(talk: Callable[[Way], Talk], real: Way, ours: Way) -> Pair:
    talks = together(talk, {"real": real, "ours": ours})
    return Pair(talks["real"].result(), talks["ours"].result())


CASES = {
    "containerd-crun": (in_containerd, "crun"),
    "docker-runc": (in_docker, "runc"),
    "podman-crun": (in_podman, "crun"),
}
STEPS = [
    pytest.param(case, step, id=f"{case}-{step}")
    for case in CASES
    for step in EXPECTED
    if not (case.startswith("containerd") and step in NO_KUBELET)
]


@pytest.fixture(scope="module")
def pairs() -> dict[str, Pair]:
    """The output of each case so far."""
    return {}


@pytest.mark.parametrize(("case", "step"), STEPS)
def test_every_step_is_as_with_the_real_runtime(machine: Machine, pairs: dict[str, Pair], case: str, step: str) -> None:
    talks, runtime = CASES[case]
    both = pairs.get(case) or pairs.setdefault(case, talks(machine, runtime))
    assert as_expected(both.real[step], EXPECTED[step]), both.real[step]
    assert both.ours[step] == both.real[step]


@pytest.mark.parametrize("word", ["features", "--version"])
@pytest.mark.parametrize("runtime", RUNTIMES)
def test_what_the_runtime_says_of_itself_is_the_same(machine: Machine, runtime: str, word: str) -> None:
    real, ours = (machine.run(each, word) for each in (RUNTIMES[runtime], wrapper(runtime)))
    assert real.stdout
    assert (ours.stdout, ours.stderr) == (real.stdout, real.stderr)


COUNT = ("sh", "-c", "n=0; while :; do n=$((n+1)); echo $n; sleep 0.2; done")


@pytest.fixture
def delegating(machine: Machine) -> Iterator[None]:
    """criu mounts cgroup v2 anew, from where that takes nsdelegate away from the whole machine."""
    yield
    machine.run("mount", "-o", "remount,nsdelegate", "/sys/fs/cgroup")


@pytest.mark.usefixtures("delegating")
@pytest.mark.parametrize("runtime", RUNTIMES)
def test_a_container_goes_on_where_its_checkpoint_was(machine: Machine, runtime: str) -> None:
    cli = Cli(machine, "podman", ["--runtime", WRAPPERS[runtime]], RUN)
    with cli.container("busybox", *COUNT) as guest:
        until(lambda: guest.call("logs").stdout, lambda said: "\n2\n" in said, 30)
        for command in ("checkpoint", "restore"):
            done = cli.call("container", command, guest.id)
            assert done.returncode == 0, done.stderr
        before = guest.call("logs").stdout
        after = until(lambda: guest.call("logs").stdout, lambda said: len(said) > len(before), 30)
    assert after.split() == [str(each + 1) for each in range(len(after.split()))]
    assert len(after) > len(before)
