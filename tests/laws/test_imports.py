"""The arrows between the rooms: the core imports the interpreter's own, the host the core, and no shell another."""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parents[2] / "oci_systemd"
SHELLS = ("runtime", "hook", "nri")
# Room -> what else of the package its modules may import. Those of COMMANDS import shells inside functions,
# at the top but types.
COMMANDS = ("cli", "installation")
ARROWS = {
    "": (),
    "core": ("", "core"),
    "host": ("", "core", "host"),
    "engines": ("", "core", "engines"),
    **{shell: ("", "core", "host", shell) for shell in SHELLS},
    "installation": ("", "core", "host", "engines", "installation"),
    "cli": ("", "core", "host", "engines", "installation", "cli"),
}
# What the core takes from the interpreter; the C halves keep a runtime call light.
INTERPRETER = {"__future__", "_json", "_sha1", "json.decoder"}
FILES = sorted(PACKAGE.rglob("*.py"))


def room(path: Path) -> str:
    return path.relative_to(PACKAGE).with_suffix("").parts[0] if path != PACKAGE / "__init__.py" else ""


def imports(tree: ast.AST, *, top: bool = False, typing: bool = True) -> Iterator[str]:
    """The modules that are imported below `tree`: on request only at the top level and without those for type checkers."""
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, "imports are absolute"
            yield from (_module(node.module or "", alias.name) for alias in node.names)
        elif (isinstance(node, ast.FunctionDef) and top) or (
            isinstance(node, ast.If) and not typing and ast.unparse(node.test) == "TYPE_CHECKING"
        ):
            continue
        else:
            yield from imports(node, top=top, typing=typing)


def _module(module: str, name: str) -> str:
    """`from oci_systemd.core import argv` imports oci_systemd.core.argv; of other packages the module is enough."""
    inside = PACKAGE.parent.joinpath(*module.split("."))
    return (
        f"{module}.{name}"
        if module.startswith("oci_systemd") and (inside / f"{name}.py").exists() | (inside / name).is_dir()
        else module
    )


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_rooms_are_entered_by_their_arrows(path: Path) -> None:
    names = [
        name
        for name in imports(ast.parse(path.read_text()), top=room(path) in COMMANDS, typing=room(path) not in COMMANDS)
        if name.split(".")[0] == "oci_systemd"
    ]
    entered = {name.split(".")[1] if "." in name else "" for name in names}
    assert entered <= set(ARROWS[room(path)])


@pytest.mark.parametrize("path", [path for path in FILES if room(path) == "core"], ids=lambda path: path.name)
def test_the_core_takes_nothing_but_the_interpreters_own(path: Path) -> None:
    found = {name for name in imports(ast.parse(path.read_text()), typing=False) if name.split(".")[0] != "oci_systemd"}
    assert found <= INTERPRETER
    assert {name.split(".")[0] for name in found} <= {*sys.stdlib_module_names, "__future__"}
