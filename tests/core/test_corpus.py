"""What real engines wrote, and what becomes of it."""

from __future__ import annotations

import json

import pytest

from tests.corpus.cases import DEBIAN, CorpusCase, cases


@pytest.fixture(params=cases(), ids=lambda case: case.name)
def case(request: pytest.FixtureRequest) -> CorpusCase:
    given: CorpusCase = request.param
    return given


def test_corpus_result_is_the_expected_one(case: CorpusCase) -> None:
    expected = case.expected_text.read_text() if case.expected_text.exists() else case.text
    assert case.result() == expected


def test_corpus_explanation_is_the_expected_one(case: CorpusCase) -> None:
    assert case.explanation() == case.expected_explanation.read_text()


def test_corpus_text_that_changes_nothing_keeps_its_bytes(case: CorpusCase) -> None:
    if not case.expected_text.exists():
        assert case.result().encode() == case.data


def test_corpus_result_says_what_apply_says(case: CorpusCase) -> None:
    from tests.corpus.cases import applied

    if not case.explanation().startswith("refused"):
        assert json.loads(case.result(DEBIAN)) == applied(json.loads(case.text), case.adjustment(DEBIAN))


REQUIRED = """systemd shell sandbox privileged service-account emptydir-run emptydir-var-run emptydir-run-lock volume
cgroup-bind read-only-root"""


@pytest.mark.parametrize("engine", ["containerd-1.7", "containerd-2.1"])
def test_corpus_has_every_case_of_containerd(engine: str) -> None:
    names = {case.name for case in cases()}
    assert [name for name in REQUIRED.split() if f"{engine}/{name}" not in names] == []
