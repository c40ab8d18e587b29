"""Rows as a table of Markdown, one printed as soon as it is known."""

from __future__ import annotations

import sys
from collections.abc import Sequence


def row(cells: Sequence[object]) -> None:
    sys.stdout.write(f"| {' | '.join(str(cell) for cell in cells)} |\n")
    sys.stdout.flush()


def head(names: Sequence[str]) -> None:
    row(names)
    row(["---"] * len(names))
