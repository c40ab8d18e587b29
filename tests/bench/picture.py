"""The table as an SVG: a bar for each call, in multiples of its floor, so that calls of 1 ms and of 20 ms are read alike.

Below it, what others cost where we measured them, and how many bundles are rewritten in a second.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import groupby
from typing import TYPE_CHECKING

from tests.bench.svg import BAR, WIDTH, bar, machine, page, rule, text
from tests.bench.table import adds, milliseconds

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from tests.bench.rows import Contest, Result

LEFT, RIGHT = 290, 650  # of the bars; names stand before, values behind
VALUE = 738  # where the milliseconds end
STEP = 26
CAPTION = 34  # height of a group's heading
TITLE = "What a call costs"
FLOORS = {
    "sh that execs": "in multiples of a sh script that does nothing but exec the runtime",
    "python3 -IS -c pass": "in multiples of a Python that does nothing",
    "state + kill": "in multiples of the runtime’s own state and kill, which it needs",
}
NRI = "milliseconds from the engine’s request to the plugin’s answer; beside it a Python that sends the request back"
# Another wrapper, measured once by hand over the same stub runtime: what it adds, in milliseconds, and the row of ours to
# compare it with. It rewrites the config.json of every container, ours looks into it.
PEER = "nvidia-container-runtime 1.20"
PEER_CAPTION = (
    "milliseconds added to a runtime that does nothing; the other wrapper was measured once, on Debian 12, 2 processors"
)
PEERS = (("exec", 2.47), ("create, not systemd, 10 kB", 3.56), ("create, not systemd, 90 kB", 6.58))


@dataclass(frozen=True)
class Rates:
    """Bundles per second."""

    contest: Contest
    ours: float
    jq: float


def picture(results: Sequence[Result], rates: Sequence[Rates], date: str) -> str:
    """Return the whole SVG."""
    calls = [result for result in results if result.row.direct]
    longest = max(max(result.ratio, result.row.bound or 0) for result in calls)
    scale = (RIGHT - LEFT) / longest
    body, top = [*_legend()], 64
    for floor, group in groupby(calls, lambda result: result.row.floor_name):
        body += _caption(FLOORS.get(floor, floor), top)
        top += CAPTION
        for result in group:
            body += _row(result, top, scale)
            top += STEP
        top += 8
    for caption, bars in (*_plugin(results), *_peers(calls), *map(_contest, rates)):
        body += _caption(caption, top)
        top += CAPTION
        body += _bars(bars, top)
        top += len(bars) * STEP + 8
    body.append(text(16, top + 16, f"medians of whole calls. {machine(date)}", "small"))
    return page(TITLE, top + 30, body)


def _legend() -> Iterator[str]:
    yield text(16, 26, TITLE, "head")
    marks = (
        (16, '<rect class="floor" x="16" y="39" width="22" height="12" rx="2"/>', "its floor, in the same run"),
        (218, '<rect class="ours" x="218" y="39" width="22" height="12" rx="2"/>', "what oci-systemd adds"),
        (398, '<line class="bound" x1="409" x2="409" y1="36" y2="54"/>', "the most that make bench allows"),
    )
    for left, mark, words in marks:
        yield mark
        yield text(left + 30, 50, words, "small")


def _caption(words: str, top: int) -> tuple[str, str]:
    return rule(top), text(16, top + 20, words, "small")


def _row(result: Result, top: int, scale: float) -> Iterator[str]:
    """One call: its floor, the time added to it, the bound, and both numbers."""
    name, bound = result.row.name, result.row.bound
    middle, ratio = top + BAR - 2, result.ratio
    yield text(LEFT - 14, middle, name, "name end")
    yield bar("floor", LEFT, top, scale * min(ratio, 1))
    if ratio > 1:
        yield bar("ours" if result.is_within else "broken", LEFT + scale, top, scale * (ratio - 1))
    if bound:
        at = LEFT + scale * bound
        yield f'<line class="bound" x1="{at:.1f}" x2="{at:.1f}" y1="{top - 4}" y2="{top + BAR + 4}"/>'
    yield text(VALUE, middle, f"{milliseconds(result.ours):.2f} ms", "strong end")
    yield text(WIDTH - 16, middle, f"{ratio:.2f} of {bound}×" if bound else f"{ratio:.2f}×", "end")


Bar = tuple[str, str, float, str]
"""A name, a colour, a length, and what stands behind it."""


def _plugin(results: Sequence[Result]) -> Iterator[tuple[str, list[Bar]]]:
    found = [result for result in results if not result.row.direct]
    if found:
        echo = milliseconds(found[0].floor)
        bars = [(result.row.name, "ours", milliseconds(result.ours)) for result in found]
        yield NRI, [(*each, f"{each[2]:.2f} ms") for each in (*bars, (found[0].row.floor_name, "floor", echo))]


def _peers(calls: Sequence[Result]) -> Iterator[tuple[str, list[Bar]]]:
    ours = {result.row.name: adds(result) for result in calls}
    pairs = [(name, ours[name], peer) for name, peer in PEERS if name in ours]
    yield (
        PEER_CAPTION,
        [
            (words, kind, added, f"{added:.2f} ms")
            for name, added, peer in pairs
            for words, kind, added in ((name, "ours", added), (PEER, "peer", peer))
        ],
    )


def _contest(rates: Rates) -> tuple[str, list[Bar]]:
    contest = rates.contest
    caption = f"{contest.count:,} bundles rewritten, {contest.name}, per second: longer is better"
    pairs = zip(contest.names, ("ours", "floor"), (rates.ours, rates.jq), strict=True)
    return caption, [(name, kind, rate, f"{rate:,.0f}") for name, kind, rate in pairs]


def _bars(bars: Sequence[Bar], top: int) -> Iterator[str]:
    longest = max(length for _, _, length, _ in bars)
    for index, (name, kind, length, value) in enumerate(bars):
        at = top + index * STEP
        yield text(LEFT - 14, at + BAR - 2, name, "name end")
        yield bar(kind, LEFT, at, (RIGHT - LEFT) * length / longest)
        yield text(VALUE, at + BAR - 2, value, "strong end")
