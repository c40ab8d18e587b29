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
from tests.documents import SOURCE, blocks

README = SOURCE / "README.md"
INDEX = SOURCE / "docs/README.md"
ANNOTATIONS = SOURCE / "docs/annotations.md"
TROUBLE = SOURCE / "docs/troubleshooting.md"
SETTINGS = SOURCE / "docs/settings.md"
THREATS = SOURCE / "docs/threat-model.md"
TOP = [README, SOURCE / "CONTRIBUTING.md", SOURCE / "SECURITY.md"]
PAGES = sorted((SOURCE / "docs").glob("*.md"))
TESTS = [SOURCE / "tests/README.md", SOURCE / "tests/corpus/README.md"]
DOCUMENTS = [*TOP, *PAGES, *sorted((SOURCE / "packaging").rglob("*.md")), *TESTS]
README_LINES = 150  # somebody reads it in two minutes
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


def test_the_page_on_annotations_has_every_annotation() -> None:
    assert [row[0].strip("`") for row in rows(section(ANNOTATIONS, "All annotations"))] == [*KEYS]


def test_the_readme_is_short() -> None:
    assert len(README.read_text().splitlines()) <= README_LINES


@documents
def test_no_table_is_left_out(path: Path) -> None:
    """A line that is one word in capitals stands where a table of measurements is still to come."""
    assert re.findall(r"^[A-Z]{4,}$", path.read_text(), re.MULTILINE) == []


def test_the_readme_shows_what_the_demo_says() -> None:
    shown = README.read_text().partition("```\n1  ")[2].partition("```")[0]
    demo = "".join(file.read_text() for file in sorted((SOURCE / "packaging/demo").glob("*.py")))
    labels = [line[6:30].strip() for line in shown.splitlines() if line.startswith("  yes ")]
    assert len(labels) > 3
    assert [label for label in [*labels, *re.findall(r"^2  (.*)$", shown, re.MULTILINE)] if label not in demo] == []


def test_the_index_has_every_page_once() -> None:
    linked = [file for file, _ in LINK.findall(INDEX.read_text()) if "/" not in file]
    assert sorted(linked) == sorted(path.name for path in PAGES if path != INDEX)


@pytest.mark.parametrize("path", sorted((SOURCE / "docs/pictures").iterdir()), ids=lambda path: path.name)
def test_a_picture_is_shown_and_is_read_in_the_dark_too(path: Path) -> None:
    assert any(f"pictures/{path.name})" in page.read_text() for page in DOCUMENTS)
    assert "prefers-color-scheme: dark" in path.read_text()


# Documents whose blocks are all run by one test, which reads them there.
WHOLE = {
    "docs/start.md": "tests/machine/test_start.py",
    "docs/offline.md": "tests/e2e/test_offline.py",
    "packaging/images/README.md": "tests/e2e/test_images.py",
}
# Every other `sh` block, by its first line without a comment: the file that runs it, and the words of it that do. A block that
# cannot be run here stands in BY_HAND, with the reason.
RUN_BY = {
    "make demo": ("tests/pristine/cases.py", "# make demo"),
    "make install PREFIX=/usr": ("tests/pristine/cases.py", "# make install PREFIX=/usr"),
    "oci-systemd install docker --restart auto": (
        "tests/machine/test_starts.py",
        '"README.md", f"oci-systemd install {engine}"',
    ),
    "oci-systemd install podman": ("tests/machine/test_starts.py", '["docker", "podman"]'),
    "oci-systemd config": (
        "tests/shells/test_cli_config.py",
        '"config", "check"',
    ),
    "oci-systemd explain bundle/": (
        "tests/shells/test_cli_explain.py",
        "--this-host",
    ),
    "systemctl enable --now oci-systemd-nri": (
        "tests/machine/test_nri.py",
        "oci-systemd-nri",
    ),
    "kubectl apply -k packaging/kustomize/overlays/nri": ("tests/packaging/test_kustomize.py", '"nri"'),
    "mkdir /sys/fs/cgroup/leaf": ("tests/machine/test_nesting.py", "docs/nesting.md"),
    "systemctl exit 3": ("tests/e2e/lab/ends.py", "systemctl exit 3"),
    "systemctl show --property=MemoryMax UNIT": (
        "tests/machine/lab/limited.py",
        "memory.max",
    ),
    "make bench": (".ci/run", "-m tests.bench"),
    "kubectl label node NAME oci-systemd/install=true": ("tests/packaging/test_kustomize.py", '"gradual"'),
    "kubectl logs POD": ("tests/machine/test_start.py", '"Logs": logs'),
    'docker run --detach --runtime systemd --env GREETING="hello world" '
    "--annotation io.systemd.container.environment=GREETING IMAGE /sbin/init": (
        "tests/machine/test_start.py",
        '"Environment": environment',
    ),
    "docker run --detach --runtime systemd --volume /srv/secrets:/run/credentials/@system:ro IMAGE /sbin/init": (
        "tests/e2e/test_life.py",
        "from tests.measure.credentials import PLACE",
    ),
    "make dev": ("tests/pristine/cases.py", "# make dev"),
    "make check": ("Makefile", "check: lint"),
}


BY_HAND = {
    "docker build --tag localhost/debian-systemd:13 --file packaging/images/debian/Containerfile packaging/images": (
        "needs a registry; tests/e2e/test_images.py builds and boots the same file"
    ),
    "oci-systemd install containerd --restart auto": "needs a cluster; its parts are run by tests/machine/test_install.py",
    "systemctl daemon-reload && systemctl restart UNIT": "needs a unit that lost its limits; tried by hand on 252 and 257",
    "sha256sum -c SHA256SUMS": "needs a release; tests/packaging/test_workflows.py has what makes it",
}


def test_every_block_of_commands_is_run_or_says_why_not() -> None:
    others = [path for path in DOCUMENTS if str(path.relative_to(SOURCE)) not in WHOLE]
    assert {
        re.split(r"\s+# ", each.splitlines()[0])[0] for path in others for each in blocks(path)
    } == RUN_BY.keys() | BY_HAND.keys()
    assert RUN_BY.keys() & BY_HAND.keys() == set()


@pytest.mark.parametrize("page", WHOLE)
def test_the_test_of_a_whole_page_reads_it(page: str) -> None:
    assert page in (SOURCE / WHOLE[page]).read_text()


@pytest.mark.parametrize("block", RUN_BY)
def test_what_is_said_to_run_a_block_does(block: str) -> None:
    file, words = RUN_BY[block]
    assert words in (SOURCE / file).read_text()


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
