"""The order of tests for several workers (pytest-xdist): tests that share an expensive set-up run together.

Law: only one worker makes each set-up of a session or a module. Long groups come first, so that none runs alone
at the end.
"""

import re

import pytest
from xdist.scheduler import LoadScopeScheduling
from xdist.workermanage import WorkerController

# The group of a test is what the first matching pattern finds in its node ID; tests of no group are groups of their own.
GROUPS = [
    re.compile(each)
    for each in (
        r"tests/machine/test_[a-m]",  # one machine
        r"tests/machine/test_[n-z]",  # another one
        r"tests/e2e/.*\[(?:.*-)?(containerd-\d-\w+)",  # one engine in one configuration
        r"tests/e2e/.*\[(?:.*-)?(runc-)",  # the nodes, which judge seconds: never beside each other
        r"tests/(?:e2e|packaging)/\w+",  # what a module builds
        r"[^\[]+",  # one function with all its parameters
    )
]
# The order of the queue, by patterns of groups. The machines work longest, with one processor each. What judges seconds comes
# behind them, or runs beside what takes one processor and no disk. What is built first is used again by the others.
ORDER = [
    re.compile(each)
    for each in (
        r"tests/machine/",
        r"runc-",
        r"tests/(?:laws|nri|shells)/",
        r"tests/e2e/test_bundle",
        r"tests/e2e/test_node_installer",
        r"containerd-",
        r"tests/e2e/",
        r"tests/packaging/test_deb",
        r"tests/(?!fuzz/)",
        r"tests/fuzz/",  # seconds that are set: they fill the end
    )
]


def group(nodeid: str) -> str:
    """Return the name of the group that a test belongs to."""
    found = next(match for each in GROUPS if (match := each.match(nodeid)))
    return found[found.lastindex or 0]


def rank(nodeid: str) -> int:
    """Return the place of a test's group in the queue."""
    name = group(nodeid)
    return next(place for place, each in enumerate(ORDER) if each.match(name))


def sort(items: list[pytest.Item]) -> None:
    """Put tests into the order of the queue."""
    items.sort(key=lambda item: rank(item.nodeid))


class Groups(LoadScopeScheduling):
    """A worker takes the next group when it begins with the last test of the one before."""

    def __init__(self, config: pytest.Config, log: object) -> None:
        super().__init__(config, log)
        config.option.loadscopereorder = False

    def _split_scope(self, nodeid: str) -> str:
        return group(nodeid)

    def _reschedule(self, node: WorkerController) -> None:
        if not self.workqueue or self._pending_of(self.assigned_work[node]) <= 1:
            super()._reschedule(node)
