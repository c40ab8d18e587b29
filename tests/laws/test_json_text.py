"""A patched text has the wanted value, and unchanged parts keep their bytes, for every layout and edit."""

from __future__ import annotations

import json
from typing import Any

from hypothesis import assume, given
from hypothesis import strategies as st

from oci_systemd.core.adjust import adjust
from oci_systemd.core.apply import apply
from oci_systemd.core.container import from_spec
from oci_systemd.core.edits import RemoveMount
from oci_systemd.core.errors import Problem, SpecError
from oci_systemd.core.json_text import line, parse, patch
from tests.laws.layout import NUMBERS, STRINGS, Edited, Written, documents, fresh, nodes, spans
from tests.laws.strategies import FILES, World, specs, worlds


@given(
    st.binary()
    | st.text().map(str.encode)
    | st.sampled_from(sorted(FILES.values())).flatmap(
        lambda data: st.integers(0, len(data)).map(lambda end: data[:end])
    )
)
def test_any_bytes_are_a_value_or_an_error_in_a_sentence(data: bytes) -> None:
    try:
        text, value = parse(data)
    except SpecError as error:
        assert "\n" not in str(error)
        return
    assert text.encode() == data
    assert value == json.loads(text)


@given(st.data(), nodes)
def test_what_is_read_is_what_the_standard_reads(data: st.DataObject, node: Any) -> None:
    text = Written(data.draw, node).text
    assert parse(text.encode()) == (text, json.loads(text))


@given(st.data(), documents)
def test_a_patch_says_the_new_value_and_keeps_the_bytes_of_the_rest(data: st.DataObject, document: Any) -> None:
    written = Written(data.draw, document)
    text, old = parse(written.text.encode())
    edited = Edited(data.draw, document, old)
    patched = patch(text, old, edited.value)
    assert parse(patched.encode())[1] == edited.value
    where = spans(patched)
    for path, node in edited.kept:
        start, end = where[path]
        assert patched[start:end] == written.of(node)


@given(st.data(), documents)
def test_without_a_change_the_text_is_the_same(data: st.DataObject, document: Any) -> None:
    text, old = parse(Written(data.draw, document).text.encode())
    assert patch(text, old, old) is text
    if isinstance(old, dict) and old:
        assert patch(text, old, {**old}) == text


STYLES: list[dict[str, Any]] = [
    {},
    {"indent": 2},
    {"indent": "\t"},
    {"separators": (",", ":")},
    {"indent": 4, "ensure_ascii": False},
]
ODD = {f"odd {index}": text for index, text in enumerate([*NUMBERS, *STRINGS])}


@given(specs(), worlds, st.sampled_from(STYLES), st.sampled_from(sorted(ODD)))
def test_an_adjusted_spec_keeps_what_it_does_not_know(spec: Any, world: World, style: dict[str, Any], odd: str) -> None:
    """Every value that a rule leaves alone keeps its text, wherever the odd one stands."""
    spec["odd"], (spec.get("process") or {})["odd"] = "MARK", "MARK"
    for mount in spec["mounts"]:
        mount["odd"] = ["MARK"]
    try:
        given = json.dumps(spec, **style).replace('"MARK"', ODD[odd]).encode()
    except UnicodeEncodeError:  # a lone surrogate, which no UTF-8 holds
        assume(False)
        raise
    text, old = parse(given)
    try:
        edits = adjust(from_spec(old, world.id), world.chosen(), world.host()).edits
    except Problem:
        return
    assert isinstance(old, dict)
    new = apply(old, edits)
    patched = patch(text, old, new)
    assert parse(patched.encode())[1] == new
    if any(isinstance(edit, RemoveMount) for edit in edits):
        return  # what the removed mount held is gone with it
    colon = '"odd":' if "separators" in style else '"odd": '
    for piece in (colon + ODD[odd], f"{colon}[{ODD[odd]}]"):
        assert patched.count(piece) == text.count(piece)
    if style.get("indent"):
        assert _lines_of(patched, ODD[odd]) == _lines_of(text, ODD[odd])
        assert {words[: len(words) - len(words.lstrip(" \t"))] for words in patched.split("\n")} <= _indents(
            style["indent"]
        )


def _lines_of(text: str, odd: str) -> int:
    """How many lines hold the odd value alone, as an item of an array."""
    return sum(words.strip(" \t,") == odd for words in text.split("\n"))


def _indents(indent: int | str) -> set[str]:
    unit = " " * indent if isinstance(indent, int) else indent
    return {unit * depth for depth in range(12)}


@given(fresh)
def test_a_line_is_what_the_standard_writes(value: Any) -> None:
    assert line(value) == json.dumps(value, separators=(",", ":"))
