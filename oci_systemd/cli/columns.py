"""A table with any number of columns, folded to the width of the terminal.

Law: a column without values is left out, and every cell goes through `safe`. Without a terminal no cell is folded: each row is one
line.
"""

from __future__ import annotations

import shutil
import sys
import textwrap
from itertools import zip_longest
from typing import TYPE_CHECKING

from oci_systemd.cli.output import LONGEST, WIDEST, on_terminal, safe

if TYPE_CHECKING:
    from collections.abc import Sequence

GAP = "  "
NARROWEST = 12  # letters: no column gets narrower; the length of a short ID


def terminal_width() -> int:
    """Return the width of stdout in letters; WIDEST if it is not a terminal."""
    return shutil.get_terminal_size().columns if on_terminal(sys.stdout) else WIDEST


def columns(heads: Sequence[str], rows: Sequence[Sequence[str]], width: int) -> list[list[str]]:
    """Return the lines of the heads, then those of each row; the widest columns are folded until a line has `width` letters."""
    shown = [[safe(cell, LONGEST) for cell in row] for row in rows]
    kept = [index for index in range(len(heads)) if any(row[index] for row in shown)]
    cells = [[row[index] for index in kept] for row in (heads, *shown)]
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    _narrow(widths, width - len(GAP) * (len(kept) - 1))
    return [_folded(row, widths) for row in cells]


def _narrow(widths: list[int], room: int) -> None:
    """Shorten the widest columns, letter by letter, until all fit in `room` or none is wider than NARROWEST."""
    while sum(widths) > room and max(widths) > NARROWEST:
        widths[widths.index(max(widths))] -= 1


def _folded(row: Sequence[str], widths: Sequence[int]) -> list[str]:
    wrapped = [textwrap.wrap(cell, width) or [""] for cell, width in zip(row, widths, strict=True)]
    return [
        GAP.join(f"{cell:{width}}" for cell, width in zip(line, widths, strict=True)).rstrip()
        for line in zip_longest(*wrapped, fillvalue="")
    ]
