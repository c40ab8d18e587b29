"""One machine for the whole session, the product installed and every engine running; its words at the end of each failure."""

from collections.abc import Generator, Iterator

import pytest

from tests.machine.lab import engines
from tests.machine.lab.machine import Machine
from tests.machine.lab.pods import Kubelet

running: list[Machine] = []


@pytest.fixture(scope="session")
def machine() -> Iterator[Machine]:
    with Machine() as machine:
        running.append(machine)
        engines.set_up(machine)
        yield machine
        running.clear()


@pytest.fixture(scope="session")
def kubelet(machine: Machine) -> Kubelet:
    return Kubelet(machine)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    report = yield
    if report.failed and running:
        report.sections.append(("the machine's console", running[0].console))
        report.sections.append(("the machine's journal", running[0].journal()))
    return report
