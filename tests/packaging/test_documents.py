"""The documents say what the code says: settings, annotations, messages, tests, paths and targets are looked up in it."""

from __future__ import annotations

import ast
import json
import re
from functools import cache
from pathlib import Path

import pytest

from oci_systemd.core.annotations import KEYS
from oci_systemd.core.settings import TABLE

SOURCE = Path(__file__).parents[2]
README = SOURCE / "README.md"
TROUBLE = SOURCE / "docs/troubleshooting.md"
SETTINGS = SOURCE / "docs/settings.md"
THREATS = SOURCE / "docs/threat-model.md"
TOP = [README, SOURCE / "CONTRIBUTING.md", SOURCE / "SECURITY.md"]
PAGES = sorted((SOURCE / "docs").glob("*.md"))
DOCUMENTS = [*TOP, *PAGES, *sorted((SOURCE / "packaging").rglob("*.md")), SOURCE / "tests/corpus/README.md"]
HOLE = "…"  # what a document writes for a name, and what stands here for a {placeholder} of the code
CODE = re.compile(r"```.*?```|``.+?``|`[^`\n]+`", re.DOTALL)
LINK = re.compile(r"\]\((?![a-z]+:)([^)#\s]*)(?:#([^)\s]*))?\)")
TEST = re.compile(r"`(tests/[\w/]+\.py)::(\w+)`")
PATH = re.compile(r"(?<![\w/.])(packaging/[-\w./]+\w)")

documents = pytest.mark.parametrize("path", DOCUMENTS, ids=lambda path: str(path.relative_to(SOURCE)))


def code(path: Path) -> str:
    """What a document has in code spans and blocks."""
    return "\n".join(CODE.findall(path.read_text()))


def section(path: Path, heading: str) -> str:
    """What stands below a heading of the second rank, up to the next one."""
    text = path.read_text()
    assert f"\n## {heading}\n" in text
    return text.partition(f"\n## {heading}\n")[2].partition("\n## ")[0]


def rows(text: str) -> list[list[str]]:
    """The rows of every table, without their heads and rules."""
    lines = [line for line in text.splitlines() if line.startswith("|")]
    found = [[cell.strip() for cell in line.strip("|").split(" | ")] for line in lines]
    return [
        row
        for row, after in zip(found, [*lines[1:], ""], strict=True)
        if not re.match(r"\|[-|]*$", after) and row[0].strip("-|")
    ]


@cache
def targets() -> frozenset[str]:
    """The targets of the Makefile."""
    heads = re.findall(r"^([a-z][-a-z ]*):(?!=)", (SOURCE / "Makefile").read_text(), re.MULTILINE)
    return frozenset(name for head in heads for name in head.split())


@cache
def sentences() -> tuple[str, ...]:
    """Every text of the code but its docstrings, with a hole for each placeholder."""
    found: list[str] = []
    for file in sorted((SOURCE / "oci_systemd").rglob("*.py")):
        tree = ast.parse(file.read_text())
        docstrings = {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr)}
        for node in ast.walk(tree):
            if isinstance(node, ast.JoinedStr):
                parts = (str(part.value) if isinstance(part, ast.Constant) else HOLE for part in node.values)
                found.append("".join(parts))
            elif isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in docstrings:
                found.append(node.value)
    return tuple(found)


def is_said(message: str) -> bool:
    """Whether one text of the code has the words of `message`, and a placeholder for each of its holes."""
    return any(message in text for text in sentences())


OURS = [row[0].strip("`") for row in rows(TROUBLE.read_text()) if row[1] == "ours"]


def test_there_are_messages_of_ours_and_of_others() -> None:
    assert len(OURS) > 40
    assert len(rows(TROUBLE.read_text())) > len(OURS) + 10


@pytest.mark.parametrize("message", OURS)
def test_a_message_that_is_said_to_be_ours_is(message: str) -> None:
    assert len(message.replace(HOLE, "").split()) > 1
    assert is_said(message)


@pytest.mark.parametrize(
    "message", ["annotation … takes … is …", "there is no seting …", "the command systemd is not systemd"]
)
def test_a_message_that_nobody_says_is_none(message: str) -> None:
    assert not is_said(message)


def test_the_guide_has_every_setting_with_its_default() -> None:
    found = {row[0].strip("`"): row[1].strip("`") for row in rows(section(SETTINGS, "What each setting risks"))}
    assert found == {name: json.dumps(default) for name, (default, _, _) in TABLE.items()}


def test_the_threat_model_has_every_setting() -> None:
    named = re.findall(r"`([\w.]+)`", "".join(row[0] for row in rows(section(THREATS, "What each setting opens"))))
    assert sorted(named) == sorted(TABLE)


def test_the_threat_model_has_every_annotation() -> None:
    assert [row[0].strip("`") for row in rows(section(THREATS, "What each annotation opens"))] == [*KEYS]


def test_the_readme_has_every_annotation() -> None:
    assert [row[0].strip("`") for row in rows(section(README, "Annotations"))] == [*KEYS]


@documents
def test_every_link_leads_somewhere(path: Path) -> None:
    for file, heading in LINK.findall(path.read_text()):
        there = path.parent / file if file else path
        assert there.exists(), file
        assert not heading or heading in slugs(there), heading


def slugs(path: Path) -> set[str]:
    """What GitHub calls the headings of a document."""
    headings = re.findall(r"^#+ (.*)$", path.read_text(), re.MULTILINE)
    return {re.sub(r"[^-\w]", "", heading.lower().replace(" ", "-")) for heading in headings}


@documents
def test_every_target_of_make_exists(path: Path) -> None:
    assert set(re.findall(r"\bmake ([a-z][-a-z]*)", code(path))) - targets() == set()


@documents
def test_every_path_of_packaging_exists(path: Path) -> None:
    assert {each for each in PATH.findall(code(path)) if not (SOURCE / each).exists()} == set()


@documents
def test_every_test_that_is_named_exists(path: Path) -> None:
    for file, name in TEST.findall(path.read_text()):
        assert f"def {name}(" in (SOURCE / file).read_text(), f"{file}::{name}"


def test_every_claim_of_the_threat_model_on_tests_is_looked_up() -> None:
    assert THREATS.read_text().count("::test_") == len(TEST.findall(THREATS.read_text()))
