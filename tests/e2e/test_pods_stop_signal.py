"""What an engine makes of lifecycle.stopSignal, which a kubelet hands on as `stop_signal`: the table in docs/stop.md."""

from dataclasses import dataclass
from typing import Any

import pytest

from tests.cri.pod import Container, Pod
from tests.e2e.conftest import BY_NRI
from tests.e2e.lab.containerd import Containerd
from tests.e2e.lab.pods import INIT, Case, begin

pytestmark = pytest.mark.engine

SIGINT = 10  # of the CRI's enumeration Signal
SINCE = (2, 3)  # containerd's first version that acts on it
GRACE = 3
# Ends with 2 by SIGINT, with 15 by SIGTERM.
TRAPS = ["/bin/sh", "-c", "trap 'exit 2' INT; trap 'exit 15' TERM; while :; do sleep 0.1; done"]


@dataclass(frozen=True)
class Signalled(Container):
    """A container whose pod names a stop signal."""

    def message(self, pod: Pod) -> Any:
        message = super().message(pod)
        message.stop_signal = SIGINT
        return message


@pytest.mark.parametrize("engine", BY_NRI, indirect=True)
def test_containerd_acts_on_it_from_2_3_on(engine: Containerd) -> None:
    """By a plain handler; the image has another STOPSIGNAL."""
    guest = begin(engine, "signalled", Case(Signalled(image=INIT.image, command=TRAPS)))
    with guest.where:
        guest.stop(GRACE)
        version = tuple(map(int, engine.version.split("-")[0].split("~")[0].split(".")[:2]))
        assert guest.status.exit_code == (2 if version >= SINCE else 137)
