"""The pieces of which the pictures are made: texts, bars, a legend, a page.

Law: colours are read on white and on black alike, and nothing is fetched: no font, no script.
"""

from __future__ import annotations

import os
import platform
from typing import TYPE_CHECKING
from xml.sax.saxutils import escape

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

WIDTH, BAR = 860, 12
STYLE = """
  text { font: 13px system-ui, -apple-system, "Segoe UI", Roboto, sans-serif; fill: #7d8590 }
  .strong { font-weight: 600 } .head { font-size: 15px; font-weight: 600 } .small { font-size: 12px } .end { text-anchor: end }
  .floor { fill: #8b949e; fill-opacity: .5 } .ours { fill: #2f9e8f } .broken { fill: #d1495b } .peer { fill: #6f7fbf }
  .bound { stroke: #c98a1b; stroke-width: 2 } .rule { stroke: #8b949e; stroke-opacity: .35 }
  @media (prefers-color-scheme: light) { .name, .strong, .head { fill: #424a53 } }
  @media (prefers-color-scheme: dark) { .name, .strong, .head { fill: #c9d1d9 } }
"""


def page(title: str, height: int, body: Iterable[str]) -> str:
    """Return the whole SVG."""
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{WIDTH}" height="{height}" viewBox="0 0 {WIDTH} {height}" '
        f'role="img">\n<title>{escape(title)}</title>\n<style>{STYLE}</style>\n' + "\n".join(body) + "\n</svg>\n"
    )


def text(left: float, top: int, words: str, kind: str = "") -> str:
    return f'<text class="{kind}" x="{left:.0f}" y="{top}">{escape(words)}</text>'


def bar(kind: str, left: float, top: int, width: float) -> str:
    return f'<rect class="{kind}" x="{left:.1f}" y="{top}" width="{max(width, 1):.1f}" height="{BAR}"/>'


def rule(top: int) -> str:
    return f'<line class="rule" x1="16" x2="{WIDTH - 16}" y1="{top}" y2="{top}"/>'


def legend(entries: Iterable[tuple[str, str, str]], top: int) -> Iterator[str]:
    """Yield a mark and its words for each entry (name, words, colour), side by side."""
    left = 16
    for _, words, kind in entries:
        yield f'<rect class="{kind}" x="{left}" y="{top - 11}" width="22" height="12" rx="2"/>'
        yield text(left + 30, top, words, "small")
        left += 60 + 7 * len(words)


def machine(date: str) -> str:
    """Return when and on what kind of machine this was measured, and whether others used it, too."""
    load, processors = os.getloadavg()[1], os.cpu_count() or 1
    busy = f", busy with other work (load {load:.0f})" if load > processors else ""
    return f"{date}, {platform.machine()}, {processors} processors, Linux {platform.release().partition('-')[0]}{busy}"
