"""A table of as many columns as one likes, on as many letters as the terminal has.

Law: a column without a value has no place, every cell goes through `safe`, and where no terminal sets the width no cell is
broken: a line is a row.
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
NARROWEST = 12  # letters: no column is made narrower; a short ID has as many


def terminal_width() -> int:
    """The letters of a line of stdout; WIDEST where it is no terminal."""
    return shutil.get_terminal_size().columns if on_terminal(sys.stdout) else WIDEST


def columns(heads: Sequence[str], rows: Sequence[Sequence[str]], width: int) -> list[list[str]]:
    """The lines of the heads, then those of each row; the widest columns are folded until a line has `width` letters."""
    shown = [[safe(cell, LONGEST) for cell in row] for row in rows]
    kept = [index for index in range(len(heads)) if any(row[index] for row in shown)]
    cells = [[row[index] for index in kept] for row in (heads, *shown)]
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    _narrow(widths, width - len(GAP) * (len(kept) - 1))
    return [_folded(row, widths) for row in cells]


def _narrow(widths: list[int], room: int) -> None:
    """Take from the widest, letter by letter, what is more than `room`, as long as any is wider than NARROWEST."""
    while sum(widths) > room and max(widths) > NARROWEST:
        widths[widths.index(max(widths))] -= 1


def _folded(row: Sequence[str], widths: Sequence[int]) -> list[str]:
    wrapped = [textwrap.wrap(cell, width) or [""] for cell, width in zip(row, widths, strict=True)]
    return [
        GAP.join(f"{cell:{width}}" for cell, width in zip(line, widths, strict=True)).rstrip()
        for line in zip_longest(*wrapped, fillvalue="")
    ]
