"""The table as an SVG: a bar for each call, in multiples of its floor, so that calls of 1 ms and of 20 ms are read alike.

Law: colours are read on white and on black alike, and nothing is fetched: no font, no script.
"""

from __future__ import annotations

from itertools import groupby
from typing import TYPE_CHECKING
from xml.sax.saxutils import escape

from tests.bench.table import milliseconds

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from tests.bench.rows import Result

WIDTH = 860
LEFT, RIGHT = 290, 650  # of the bars; names stand before, values behind
VALUE = 738  # where the milliseconds end
STEP, BAR = 26, 12
CAPTION = 34  # height of a group's heading
STYLE = """
  text { font: 13px system-ui, -apple-system, "Segoe UI", Roboto, sans-serif; fill: #7d8590 }
  .strong { font-weight: 600 } .head { font-size: 15px; font-weight: 600 } .small { font-size: 12px } .end { text-anchor: end }
  .floor { fill: #8b949e; fill-opacity: .5 } .ours { fill: #2f9e8f } .broken { fill: #d1495b }
  .bound { stroke: #c98a1b; stroke-width: 2 } .rule { stroke: #8b949e; stroke-opacity: .35 }
  @media (prefers-color-scheme: light) { .name, .strong, .head { fill: #424a53 } }
  @media (prefers-color-scheme: dark) { .name, .strong, .head { fill: #c9d1d9 } }
"""
FLOORS = {
    "sh that execs": "in multiples of a sh script that does nothing but exec the runtime",
    "python3 -IS -c pass": "in multiples of a Python that does nothing",
    "state + kill": "in multiples of the runtime’s own state and kill, which it needs",
}


def picture(results: Sequence[Result], bundles: int, rates: tuple[float, float] | None) -> str:
    """The whole SVG; `rates` are bundles per second, ours and jq's."""
    longest = max(max(result.ratio, result.row.bound or 0) for result in results)
    scale = (RIGHT - LEFT) / longest
    body, top = [*_legend()], 64
    for floor, group in groupby(results, lambda result: result.row.floor_name):
        body.append(_text(16, top + 20, FLOORS.get(floor, floor), "small"))
        body.append(f'<line class="rule" x1="16" x2="{WIDTH - 16}" y1="{top}" y2="{top}"/>')
        top += CAPTION
        for result in group:
            body += _row(result, top, scale)
            top += STEP
        top += 8
    if rates:
        body += _rates(bundles, rates, top)
        top += CAPTION + 2 * STEP + 8
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{WIDTH}" height="{top}" viewBox="0 0 {WIDTH} {top}" role="img">\n'
        f"<title>What a call costs beside its floor</title>\n<style>{STYLE}</style>\n" + "\n".join(body) + "\n</svg>\n"
    )


def _legend() -> Iterator[str]:
    yield _text(16, 26, "What a call costs", "head")
    marks = (
        (16, '<rect class="floor" x="16" y="39" width="22" height="12" rx="2"/>', "its floor, in the same run"),
        (218, '<rect class="ours" x="218" y="39" width="22" height="12" rx="2"/>', "what oci-systemd adds"),
        (398, '<line class="bound" x1="409" x2="409" y1="36" y2="54"/>', "the most that make bench allows"),
    )
    for left, mark, words in marks:
        yield mark
        yield _text(left + 30, 50, words, "small")
    yield _text(WIDTH - 16, 50, "median, whole process", "small end")


def _row(result: Result, top: int, scale: float) -> Iterator[str]:
    """One call: its floor, what is added to that, the bound, and both numbers."""
    name, bound = result.row.name, result.row.bound
    middle, ratio = top + BAR - 2, result.ratio
    yield _text(LEFT - 14, middle, name, "name end")
    yield _bar("floor", LEFT, top, scale * min(ratio, 1))
    if ratio > 1:
        yield _bar("ours" if result.is_within else "broken", LEFT + scale, top, scale * (ratio - 1))
    if bound:
        at = LEFT + scale * bound
        yield f'<line class="bound" x1="{at:.1f}" x2="{at:.1f}" y1="{top - 4}" y2="{top + BAR + 4}"/>'
    yield _text(VALUE, middle, f"{milliseconds(result.ours):.2f} ms", "strong end")
    yield _text(WIDTH - 16, middle, f"{ratio:.2f} of {bound}×" if bound else f"{ratio:.2f}×", "end")


def _rates(bundles: int, rates: tuple[float, float], top: int) -> Iterator[str]:
    yield f'<line class="rule" x1="16" x2="{WIDTH - 16}" y1="{top}" y2="{top}"/>'
    yield _text(16, top + 20, f"{bundles:,} bundles rewritten in place, per second: longer is better", "small")
    names = ("oci-systemd rewrite, one call", "jq, one process for each")
    for index, (name, rate) in enumerate(zip(names, rates, strict=True)):
        at = top + CAPTION + index * STEP
        yield _text(LEFT - 14, at + BAR - 2, name, "name end")
        yield _bar(("ours", "floor")[index], LEFT, at, (RIGHT - LEFT) * rate / max(rates))
        yield _text(VALUE, at + BAR - 2, f"{rate:,.0f}", "strong end")


def _bar(kind: str, left: float, top: int, width: float) -> str:
    return f'<rect class="{kind}" x="{left:.1f}" y="{top}" width="{max(width, 1):.1f}" height="{BAR}"/>'


def _text(left: float, top: int, words: str, kind: str = "") -> str:
    return f'<text class="{kind}" x="{left}" y="{top}">{escape(words)}</text>'
