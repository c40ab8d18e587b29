"""Write the wrapper runtime's modules into one file for each kind of call, for the launcher: `freeze.py LIB`.

A module that the import system finds and reads costs 0.2 ms, and a call loads up to thirty. LIB/frozen-CALL is made by the
interpreter that will read it: its magic number (4 bytes), the SipHash of the rest (8 bytes, as PEP 552 has it of a source), then,
marshalled, BOOT's code and each module's. BOOT puts a finder before the import system's own; what it does not hold is imported
as ever.
"""

from __future__ import annotations

import _imp
import importlib
import marshal
import sys
from importlib.util import MAGIC_NUMBER
from pathlib import Path

# The modules that import all others for a call.
CALLS = {
    "kill": ("oci_systemd.runtime.kill", "oci_systemd.core.json_text"),
    "create": ("oci_systemd.runtime.create", "oci_systemd.core.json_text"),
}

OURS = ("oci_systemd", "__future__")  # every module imports the latter first, also from a file

BOOT = """
from _frozen_importlib import spec_from_loader
from marshal import loads

class Frozen:
    create_module = staticmethod(lambda spec: None)

    @classmethod
    def find_spec(cls, name, path=None, target=None):
        if name in modules:
            return spec_from_loader(name, cls, is_package=modules[name][0])

    @staticmethod
    def exec_module(module):
        if modules[module.__name__][0]:
            module.__path__ = [lib + "/" + module.__name__.replace(".", "/")]
        exec(loads(modules[module.__name__][1]), module.__dict__)

sys.meta_path.insert(0, Frozen)
"""


def loaded(names: tuple[str, ...]) -> dict[str, tuple[bool, bytes]]:
    """Return the modules of OURS after an import of `names`: whether each is a package, and its marshalled code."""
    for name in names:
        importlib.import_module(name)
    ours = {name: Path(str(sys.modules[name].__file__)) for name in sys.modules if name.startswith(OURS)}
    return {name: (path.name == "__init__.py", code_of(path, name)) for name, path in ours.items()}


def code_of(path: Path, name: str) -> bytes:
    """Return the marshalled code of the module at `path`, without docstrings, with the module's name as its file name."""
    return marshal.dumps(compile(path.read_text(), f"<frozen {name}>", "exec", dont_inherit=True, optimize=2))


def main(folder: str) -> None:
    lib = Path(folder)
    sys.path.insert(0, folder)
    sys.dont_write_bytecode = True
    boot = compile(BOOT, "frozen", "exec", dont_inherit=True, optimize=2)
    for call, names in CALLS.items():  # kill comes first, since its modules are among those of create
        body = marshal.dumps((boot, loaded(names)))
        (lib / f"frozen-{call}").write_bytes(MAGIC_NUMBER + _imp.source_hash(0, body) + body)


if __name__ == "__main__":
    main(sys.argv[1])
