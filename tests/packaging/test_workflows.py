"""GitHub's workflows: the linters find nothing, each job has its bounds and rights, and every called file exists."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import yaml

from tests.documents import SOURCE
from tests.packaging.test_documents import targets

if TYPE_CHECKING:
    from collections.abc import Iterator

WORKFLOWS = sorted((SOURCE / ".github/workflows").glob("*.yml"))
YAMLLINT = """{extends: default, rules: {document-start: disable, line-length: {max: 132}, truthy: {check-keys: false},
    comments: {min-spaces-from-content: 1}}}"""
PINNED = re.compile(r"uses: ([-\w]+/[-\w/]+)@([0-9a-f]{40}) # (v\d+\.\d+\.\d+)")
# Files of the tree that a workflow names; its own output is below build.
PATHS = re.compile(r"(?<![\w/.$])(?:\./)?((?:\.ci|\.github|oci_systemd|packaging|tests)/[-\w./]+\w|CHANGELOG\.md)")

workflows = pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.stem)


def jobs(path: Path) -> dict[str, dict[str, Any]]:
    found: dict[str, dict[str, Any]] = yaml.safe_load(path.read_text())["jobs"]
    return found


def steps(path: Path) -> Iterator[dict[str, Any]]:
    return chain.from_iterable(job.get("steps", []) for job in jobs(path).values())


def scripts(path: Path) -> list[str]:
    return [step["run"] for step in steps(path) if "run" in step]


def program(name: str) -> str:
    """A linter beside the interpreter or on PATH; without it the test is skipped, as lint.yml does not."""
    found = shutil.which(name, path=str(Path(sys.executable).parent)) or shutil.which(name)
    return found or pytest.skip(f"{name} is not installed")


def said(*words: str | Path) -> str:
    done = subprocess.run(words, cwd=SOURCE, capture_output=True, text=True)
    return done.stdout + done.stderr


def test_there_are_workflows() -> None:
    assert [path.stem for path in WORKFLOWS] == ["lint", "release", "test"]


def test_yamllint_has_nothing_to_say() -> None:
    assert said(program("yamllint"), "--strict", "-d", YAMLLINT, *WORKFLOWS) == ""


def test_actionlint_has_nothing_to_say() -> None:
    """Include shellcheck for `run`, if it is installed."""
    shellcheck = Path(sys.executable).with_name("shellcheck")
    options = [f"-shellcheck={shellcheck}"] if shellcheck.exists() else []
    assert said(program("actionlint"), "-no-color", *options, *WORKFLOWS) == ""


@workflows
def test_every_job_has_a_bound_and_rights_of_its_own(path: Path) -> None:
    assert yaml.safe_load(path.read_text())["permissions"] == {}
    for name, job in jobs(path).items():
        assert isinstance(job.get("permissions"), dict), name
        assert isinstance(job.get("timeout-minutes"), int) or "uses" in job, (
            name
        )  # a called workflow's jobs have theirs


@workflows
def test_only_a_release_writes_anything(path: Path) -> None:
    rights = {
        f"{name}: {right}"
        for name, job in jobs(path).items()
        for right, value in job["permissions"].items()
        if value != "read"
    }
    attests = {f"{name}: {right}" for name in ("image", "release") for right in ("id-token", "attestations")}
    assert rights == (attests | {"image: packages", "release: contents"} if path.stem == "release" else set())


@workflows
def test_two_runs_at_once_are_one_after_the_other_or_the_newer(path: Path) -> None:
    assert {"group", "cancel-in-progress"} <= yaml.safe_load(path.read_text())["concurrency"].keys()


@workflows
def test_actions_are_named_by_commit_with_their_version_beside(path: Path) -> None:
    used = re.findall(r"uses: (?!\./).*", path.read_text())
    assert used
    assert [line for line in used if not PINNED.fullmatch(line)] == []


def test_an_action_is_the_same_everywhere() -> None:
    found = {match for path in WORKFLOWS for match in PINNED.findall(path.read_text())}
    assert len({name for name, _, _ in found}) == len(found)


@workflows
def test_a_checkout_leaves_no_token_behind(path: Path) -> None:
    checkouts = [step for step in steps(path) if step.get("uses", "").startswith("actions/checkout@")]
    assert all(step["with"]["persist-credentials"] is False for step in checkouts)


@workflows
def test_no_script_has_an_expression_in_it(path: Path) -> None:
    """Somebody else's text, such as a tag's name, reaches a script only in a variable."""
    assert [script for script in scripts(path) if "${{" in script] == []


@workflows
def test_every_target_of_make_exists(path: Path) -> None:
    called = {name for script in scripts(path) for name in re.findall(r"\bmake ([a-z][-a-z]*)", script)}
    assert called - targets() == set()


@workflows
def test_every_path_exists(path: Path) -> None:
    named = set(PATHS.findall(path.read_text()))
    assert {each for each in named if not (SOURCE / each).exists()} == set()


def test_the_tests_are_ci_s_own() -> None:
    assert any(".ci/run" in script for script in scripts(SOURCE / ".github/workflows/test.yml"))
