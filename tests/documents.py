"""What the documents say, for the tests that look it up or run it."""

from __future__ import annotations

import re
from pathlib import Path

SOURCE = Path(__file__).parents[1]
BLOCK = re.compile(r"^```sh\n(.*?)^```", re.DOTALL | re.MULTILINE)


def blocks(path: Path) -> list[str]:
    """Return what stands in the `sh` blocks of a document, in order."""
    return BLOCK.findall(path.read_text())


def block(path: Path, start: str) -> str:
    """Return the one `sh` block that begins with these words."""
    [found] = [each for each in blocks(path) if each.startswith(start)]
    return found
