"""Print one table: `python -m tests.measure NAME`, as root. NAME is a module of this package with a function `table`."""

import sys
from importlib import import_module
from pathlib import Path

NO_TABLES = {"lab", "rows", "taken"}
NAMES = sorted({path.stem for path in Path(__file__).parent.glob("[a-z]*.py")} - NO_TABLES)


def main(words: list[str]) -> int:
    if len(words) != 1 or words[0] not in NAMES:
        print(f"usage: python -m tests.measure {'|'.join(NAMES)}", file=sys.stderr)
        return 2
    for line in import_module(f"tests.measure.{words[0]}").table():
        print(line, flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
