"""Things that take time, done side by side: much of a boot is waiting."""

from collections.abc import Callable, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

Case = TypeVar("Case")
Result = TypeVar("Result")
AT_ONCE = 2


def together(do: Callable[[Case], Result], cases: Mapping[str, Case]) -> dict[str, Future[Result]]:
    """What DO makes of each of CASES; a failure is raised where its result is asked for."""
    with ThreadPoolExecutor(AT_ONCE) as pool:
        return {name: pool.submit(do, case) for name, case in cases.items()}
