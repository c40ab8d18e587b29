"""Write the wrapper runtime's modules into one file for each kind of call, for the launcher: `freeze.py LIB`.

The import system takes 0.2 ms to find and read a module, and 0.05 ms for one that it does not have to find. A call loads up to
thirty. So LIB/frozen-CALL has them in the order in which they can run, and BOOT runs them without the import system. The file is
made by the interpreter that will read it: its magic number (4 bytes), the SipHash of the rest (8 bytes, as PEP 552 has it of a
source), then, marshalled, BOOT's code and each module's. A module that is not in the file is imported as usual.
"""

from __future__ import annotations
import __future__

import _imp
import ast
import importlib
import marshal
import sys
from importlib.machinery import PathFinder, SourceFileLoader
from importlib.util import MAGIC_NUMBER
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence
    from importlib.machinery import ModuleSpec
    from types import ModuleType

# The modules that import all others for a call.
CALLS = {
    "kill": ("oci_systemd.runtime.kill", "oci_systemd.core.json_text"),
    "create": ("oci_systemd.runtime.create", "oci_systemd.core.json_text"),
}

OURS = "oci_systemd"

BOOT = """
from marshal import loads
for name, is_package, code in modules:
    module = sys.modules[name] = type(sys)(name)
    if is_package:
        module.__path__ = [lib + "/" + name.replace(".", "/")]
    exec(loads(code), module.__dict__)
    package, _, last = name.rpartition(".")
    if package:
        setattr(sys.modules[package], last, module)
"""


class Noted(SourceFileLoader):
    """A loader that adds a module's name to `names` when its import ends."""

    def __init__(self, name: str, path: str, names: list[str]) -> None:
        super().__init__(name, path)
        self.names = names

    def exec_module(self, module: ModuleType) -> None:
        super().exec_module(module)
        self.names.append(module.__name__)


class Order:
    """A finder that keeps the names of OURS in the order in which their imports end."""

    def __init__(self) -> None:
        self.names: list[str] = []

    def find_spec(self, name: str, path: Sequence[str] | None, target: object = None) -> ModuleSpec | None:
        spec = PathFinder.find_spec(name, path) if name.startswith(OURS) else None
        if spec and spec.origin:
            spec.loader = Noted(name, spec.origin, self.names)
        return spec


def loaded(names: tuple[str, ...]) -> list[tuple[str, bool, bytes]]:
    """Return the modules of OURS that an import of `names` loads, in the order in which they can run: the name, whether it is a
    package, and the marshalled code."""
    for name in [name for name in sys.modules if name.startswith(OURS)]:
        del sys.modules[name]
    order = Order()
    sys.meta_path.insert(0, order)
    for name in names:
        importlib.import_module(name)
    sys.meta_path.remove(order)
    paths = {name: Path(str(sys.modules[name].__file__)) for name in order.names}
    return [(name, path.name == "__init__.py", code_of(path, name)) for name, path in paths.items()]


def code_of(path: Path, name: str) -> bytes:
    """Return the marshalled code of the module at `path`, without docstrings, with the module's name as its file name. The
    compiler gets the __future__ feature as a flag, so that the module is not imported."""
    tree = ast.parse(path.read_text())
    tree.body = [each for each in tree.body if not (isinstance(each, ast.ImportFrom) and each.module == "__future__")]
    flags = __future__.annotations.compiler_flag
    return marshal.dumps(compile(tree, f"<frozen {name}>", "exec", flags, dont_inherit=True, optimize=2))


def main(folder: str) -> None:
    lib = Path(folder)
    sys.path.insert(0, folder)
    sys.dont_write_bytecode = True
    boot = compile(BOOT, "frozen", "exec", dont_inherit=True, optimize=2)
    for call, names in CALLS.items():
        body = marshal.dumps((boot, loaded(names)))
        (lib / f"frozen-{call}").write_bytes(MAGIC_NUMBER + _imp.source_hash(0, body) + body)


if __name__ == "__main__":
    main(sys.argv[1])
