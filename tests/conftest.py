"""What every test here agrees on: a test marked `engine` needs root and a real runtime, and in CI it is never skipped."""

import os
import re
from collections.abc import Generator
from contextlib import nullcontext
from typing import Any

import pytest

from tests.e2e.lab.silence import noise

CI = os.environ.get("CI") == "true"
os.environ["GRPC_ENABLE_FORK_SUPPORT"] = "false"  # else a child between fork and exec may fail in gRPC's own handlers
CROWD = re.compile(r"_a_hundred_.*_at_once|_a_hundred_creates_of_")


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "engine: boots containers under a real runtime; needs root")


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Any:
    from tests.workers import Groups

    return Groups(config, log)


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    if hasattr(config, "workerinput"):
        from tests.workers import sort

        sort(items)
    if os.geteuid() == 0:
        return
    for item in items:
        if item.get_closest_marker("engine"):
            item.add_marker(pytest.mark.skip(reason="needs root: it makes namespaces, mounts and cgroups"))


@pytest.hookimpl(wrapper=True)
def pytest_runtest_call(item: pytest.Item) -> Generator[None, None, None]:
    """Start no crowd while another worker measures."""
    with noise() if CROWD.search(item.name) else nullcontext():
        return (yield)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    report = yield
    if CI and report.skipped and item.get_closest_marker("engine"):
        report.outcome = "failed"
        report.longrepr = f"an engine test must not be skipped in CI: {report.longrepr}"
    return report
