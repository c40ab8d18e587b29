"""The pristine roots cover every target in the documents, and find leftovers. `make pristine` runs them."""

from __future__ import annotations

import ast
import re
import sys
from typing import TYPE_CHECKING

import pytest

from tests.documents import SOURCE
from tests.packaging.test_documents import PAGES, README, code, targets
from tests.pristine.cases import CASES, WITHOUT
from tests.pristine.files import left, listing

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

NAMED = {name for path in (README, *PAGES) for name in re.findall(r"\bmake ([a-z][-a-z]*)", code(path))}
COVERED = {name for case in CASES for name in case.targets}
# What runs before anything is installed.
MODULES = [
    *sorted((SOURCE / "tests/pristine").glob("*.py")),
    *(SOURCE / f"tests/e2e/lab/{name}.py" for name in ("closing", "node", "rootfs", "silence")),
]


def test_every_target_that_a_document_names_has_a_case_or_a_reason() -> None:
    assert NAMED - COVERED - WITHOUT.keys() == set()


def test_no_target_has_a_case_and_a_reason_to_have_none() -> None:
    assert COVERED & WITHOUT.keys() == set()


def test_every_target_of_a_case_exists() -> None:
    assert COVERED - targets() == set()


def test_every_case_has_a_name_of_its_own() -> None:
    assert len({case.name for case in CASES}) == len(CASES)


@pytest.mark.parametrize("line", sorted({line for case in CASES for line in case.lines}))
def test_every_line_has_a_prompt(line: str) -> None:
    assert re.match(r"[#$] \S", line)


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(SOURCE)))
def test_the_runner_needs_the_standard_library_alone(path: Path) -> None:
    tree = ast.walk(ast.parse(path.read_text()))
    names = [name for node in tree for name in imported(node)]
    ours = {module_name(module) for module in MODULES} | {"tests.pristine"}
    assert [name for name in names if name.partition(".")[0] not in sys.stdlib_module_names and name not in ours] == []


def imported(node: ast.AST) -> list[str]:
    if isinstance(node, ast.ImportFrom):
        return [node.module or ""]
    return [each.name for each in node.names] if isinstance(node, ast.Import) else []


def module_name(path: Path) -> str:
    return ".".join(path.relative_to(SOURCE).with_suffix("").parts)


# Leftovers


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A root with one package, whose list has the paths from before the merge of /usr."""
    write(tmp_path / "usr/lib/old", "old")
    write(tmp_path / "usr/sbin/program", "program")
    write(tmp_path / "var/lib/dpkg/info/old.list", "/.\n/lib\n/lib/old\n")
    return tmp_path


def write(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)


def test_a_root_that_nobody_changed_has_nothing_left(root: Path) -> None:
    assert left(listing(root), root) == []


def test_files_folders_and_links_that_came_are_left_behind(root: Path) -> None:
    before = listing(root)
    write(root / "etc/ours/file", "")
    (root / "usr/bin").symlink_to("sbin")
    assert left(before, root) == [
        f"{path}: left behind" for path in ("/etc", "/etc/ours", "/etc/ours/file", "/usr/bin")
    ]


def test_what_went_is_gone(root: Path) -> None:
    before = listing(root)
    (root / "usr/sbin/program").unlink()
    assert left(before, root) == ["/usr/sbin/program: gone"]


@pytest.mark.parametrize("change", [lambda path: path.chmod(0o700), lambda path: path.write_text("longer than before")])
def test_what_is_different_is_changed(root: Path, change: Callable[[Path], object]) -> None:
    before = listing(root)
    change(root / "usr/sbin/program")
    assert left(before, root) == ["/usr/sbin/program: changed"]


@pytest.mark.parametrize("name", ["lib/new", "usr/lib/new"])
def test_what_a_package_brought_is_its_own(root: Path, name: str) -> None:
    before = listing(root)
    write(root / "usr/lib/new", "new")
    write(root / "var/lib/dpkg/info/new.list", f"/.\n/{name}\n")
    assert left(before, root) == []


@pytest.mark.parametrize("place", ["home/user/file", "root/file", "tmp/file", "var/cache/file"])
def test_what_is_the_machines_business_is_not_looked_at(root: Path, place: str) -> None:
    before = listing(root)
    write(root / place, "")
    assert left(before, root) == []


@pytest.mark.parametrize(
    ("path", "ours"),
    [
        ("usr/lib/python3/dist-packages/click/__pycache__/core.cpython-313.pyc", False),
        ("usr/share/python3/debpython/__pycache__/files.cpython-313.pyc", False),
        ("etc/pam.d/common-auth", False),
        ("usr/lib/oci-systemd/__pycache__/core.cpython-313.pyc", True),
        ("etc/pam.d/oci-systemd", True),
    ],
)
def test_what_scripts_of_packages_make_is_theirs(root: Path, path: str, *, ours: bool) -> None:
    (root / path).parent.mkdir(parents=True)
    before = listing(root)
    write(root / path, "")
    assert left(before, root) == ([f"/{path}: left behind"] if ours else [])
