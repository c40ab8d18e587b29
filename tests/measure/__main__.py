"""Measure and print a table: `python -m tests.measure NAME`; without a NAME, the names that there are."""

from __future__ import annotations

import sys
from importlib import import_module
from pathlib import Path

NAMES = sorted({path.stem for path in Path(__file__).parent.glob("[a-z]*.py")} - {"table"})


def main() -> int:
    if len(sys.argv) != 2 or sys.argv[1] not in NAMES:
        sys.stderr.write(f"{__doc__}\n{' '.join(NAMES)}\n")
        return 2
    import_module(f"tests.measure.{sys.argv[1]}").main()
    return 0


if __name__ == "__main__":
    sys.exit(main())
