"""JSON as text: unchanged parts keep their bytes, and an error names its place."""

from __future__ import annotations

import json

import pytest

from oci_systemd.core.errors import SpecError
from oci_systemd.core.json_text import line, parse, patch

BAD = {
    "empty": b"",
    "blank": b" \n",
    "cut": b'{"a": [1, 2',
    "more": b"{} {}",
    "no value": b'{"a": }',
    "NaN": b'{"a": NaN}',
    "Infinity": b"[-Infinity]",
    "NUL": b'{"a": "\0"}',
    "newline in a string": b'{"a": "x\ny"}',
    "UTF-16": '{"a": 1}'.encode("utf-16"),
    "bad UTF-8": b'{"a": "\xff"}',
    "byte order mark": b"\xef\xbb\xbf{}",
    "the same key twice": b'{"a": {"b": 1, "b": 1}}',
    "deep": b"[" * 100_000 + b"]" * 100_000,
    "bad escape": b'["\\x"]',
    "leading zero": b"[01]",
    "trailing comma": b"[1,]",
}


@pytest.mark.parametrize("data", BAD.values(), ids=BAD)
def test_what_is_no_json_is_one_sentence(data: bytes) -> None:
    with pytest.raises(SpecError) as caught:
        parse(data)
    assert "\n" not in str(caught.value)
    assert str(caught.value)


def test_place_of_a_mistake_is_told() -> None:
    with pytest.raises(SpecError, match="line 2, column 7"):
        parse(b'{\n "a": x}')


ODD = '{"x": 1.50, "y": 1E+400, "z": -0, "n": 123456789012345678901234567890, "s": "\\u003c\\/é\\ud800", "l": [ 1 ,2,  3 ]\n}\n'


def test_numbers_escapes_and_blanks_survive() -> None:
    text, old = parse(ODD.encode())
    assert isinstance(old, dict)
    assert patch(text, old, {**old, "new": "v"}) == ODD.replace("\n}", ',"new": "v"\n}').replace(',"new"', ', "new"')


def test_number_of_ten_thousand_digits_survives() -> None:
    text, old = parse(b'{"a":' + b"9" * 10_000 + b',"b":1}')
    assert isinstance(old, dict)
    assert patch(text, old, {**old, "b": "x"}) == text.replace('"b":1', '"b":"x"')


STYLES = {
    "compact": {"separators": (",", ":")},
    "spaced": {},
    "two": {"indent": 2},
    "tab": {"indent": "\t"},
    "four": {"indent": 4},
}


@pytest.mark.parametrize("style", STYLES.values(), ids=STYLES)
def test_what_is_new_has_the_text_s_own_style(style: dict) -> None:
    old = {
        "mounts": [{"destination": "/a/b", "options": ["nosuid", "ro"]}, {"destination": "/c/d"}],
        "empty": {},
        "process": {"env": ["A=b"]},
    }
    new = {
        "mounts": [
            {"destination": "/new", "options": ["x", "y"]},
            {"destination": "/a/b", "options": ["nosuid", "rw"]},
            {"destination": "/c/d"},
            {"destination": "/last"},
        ],
        "empty": {"k": {"l": []}},
        "process": {"env": ["A=b", "C=d"]},
    }
    text, parsed = parse(json.dumps(old, **style).encode())
    assert isinstance(parsed, dict)
    mounts, process = parsed["mounts"], parsed["process"]
    assert isinstance(mounts, list)
    assert isinstance(process, dict)
    assert isinstance(mounts[0], dict)
    shared = {
        "mounts": [new["mounts"][0], {**mounts[0], "options": ["nosuid", "rw"]}, mounts[1], new["mounts"][3]],
        "empty": new["empty"],
        "process": {**process, "env": ["A=b", "C=d"]},
    }
    assert patch(text, parsed, shared) == json.dumps(new, **style)


def test_line_is_what_json_dumps_writes() -> None:
    value = {"a": [1, 2.5, True, None, "é\n\x1b"], "b": {}, "c": []}
    assert line(value) == json.dumps(value, separators=(",", ":"))
