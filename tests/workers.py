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
        r"tests/machine/test_\w+(?:\.py::test_a_reboot)?",  # on its worker's machine
        r"tests/e2e/.*\[(?:.*-)?(containerd-\d-\w+)",  # one engine in one configuration
        r"tests/e2e/.*\[(?:.*-)?(runc-)",  # the nodes, which judge seconds: never beside each other
        r"tests/(?:e2e|packaging)/\w+",  # what a module builds
        r"[^\[]+",  # one function with all its parameters
    )
]
# The order of the queue, by patterns of groups. The machines work longest, with one processor each; the reboot ends its worker's
# machine. Tests that judge seconds come after them, or run beside tests that take one processor and no disk. Builds come before the
# tests that use them.
ORDER = [
    re.compile(each)
    for each in (
        r"tests/machine/\w+$",
        r"tests/machine/",  # the reboot
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
