"""Results as a table for a terminal: a line each, with the floor that it was measured beside."""

from __future__ import annotations

from statistics import median
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tests.bench.rows import Contest, Result

FORM = "{:<41} {:>7} {:>15}   {:>7} {:<23} {:>5} {:>5}   {:>6} {:>8}"
HEAD = FORM.format("milliseconds", "median", "min … max", "floor", "", "ratio", "bound", "adds", "peak MiB")


def milliseconds(times: Sequence[int]) -> float:
    return median(times) / 1e6


def adds(result: Result) -> float:
    """The milliseconds that a direct call of the real runtime is shorter."""
    return milliseconds(result.ours) - milliseconds(result.direct)


def line(result: Result) -> str:
    row, ours = result.row, result.ours
    return FORM.format(
        row.name,
        f"{milliseconds(ours):.2f}",
        f"{min(ours) / 1e6:.2f} … {max(ours) / 1e6:.1f}",
        f"{milliseconds(result.floor):.2f}",
        row.floor_name,
        f"{result.ratio:.2f}",
        f"{row.bound}" if row.bound else "–",
        f"{adds(result):.2f}",
        "–" if result.memory is None else f"{result.memory / 1024:.1f}",
    ) + ("" if result.is_within else "  too much")


def rates(contest: Contest, ours: float, jq: float) -> str:
    names = contest.names
    return f"{contest.count} bundles, {contest.name}: {names[0]} {ours:.0f} per second, {names[1]} {jq:.0f}"


def rate(count: int, times: Sequence[int]) -> float:
    return count / (median(times) / 1e9)
