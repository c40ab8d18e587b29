"""What exit code a pod's status shows when its machine ends: the rows of docs/exit-codes.md that a Job depends on."""

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import pytest

from tests.e2e.lab.containerd import Containerd
from tests.e2e.lab.ends import DEPENDED_ON, ENDS, end_pod
from tests.e2e.lab.images import name
from tests.e2e.lab.pods import INIT, Case, begin
from tests.e2e.lab.rootfs import IMAGES

pytestmark = pytest.mark.engine

CASES = [(image, end) for image in IMAGES for end in DEPENDED_ON]
ENGINE = "containerd-2-packaged"


def code(engine: Containerd, image: str, end: str) -> int | str | None:
    """What CRI says at last; the state of a machine that does not boot."""
    title = f"end-{image}-{DEPENDED_ON.index(end)}"
    guest = begin(engine, title, Case(replace(INIT, image=name(image))))
    with guest.where:
        state = guest.system_state()
        return end_pod(guest, ENDS[end]) if state == "running" else state


@pytest.fixture(scope="module")
def codes(engine: Containerd) -> Iterator[Callable[[str, str], int | str | None]]:
    with ThreadPoolExecutor(4) as pool:
        found = {case: pool.submit(code, engine, *case) for case in CASES}
        yield lambda image, end: found[image, end].result()


@pytest.mark.parametrize("engine", [ENGINE], indirect=True)
@pytest.mark.parametrize(("image", "end"), CASES)
def test_the_pod_has_the_exit_code_of_the_table(
    codes: Callable[[str, str], int | str | None], image: str, end: str
) -> None:
    assert codes(image, end) == ENDS[end].code
