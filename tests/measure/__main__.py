"""Print the table NAME as it stands in docs/: NAME is a module beside this one with a function `table`."""

import sys
from importlib import import_module

if __name__ == "__main__":
    print(import_module(f"tests.measure.{sys.argv[1]}").table())
