"""What stands in for orjson in the Debian package writes and reads as orjson does."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from types import ModuleType
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

FILE = Path(__file__).parents[2] / "packaging/deb/fallback/orjson.py"


def loaded() -> ModuleType:
    spec = importlib.util.spec_from_file_location("fallback", FILE)
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


FALLBACK = loaded()
OPTIONS = ("OPT_INDENT_2", "OPT_APPEND_NEWLINE")
TEXTS = st.text(max_size=20)  # without surrogates, as orjson wants them
SCALARS = st.one_of(st.none(), st.booleans(), st.integers(-(1 << 53), 1 << 53), st.integers(0, 10**9).map(float), TEXTS)
VALUES: st.SearchStrategy[Any] = st.recursive(
    SCALARS, lambda inner: st.one_of(st.lists(inner, max_size=4), st.dictionaries(TEXTS, inner, max_size=4))
)


@given(VALUES, st.lists(st.sampled_from(OPTIONS), unique=True))
def test_both_write_the_same(value: object, options: list[str]) -> None:
    real, ours = (sum(getattr(module, name) for name in options) for module in (orjson, FALLBACK))
    assert FALLBACK.dumps(value, option=ours) == orjson.dumps(value, option=real)
    assert FALLBACK.loads(FALLBACK.dumps(value)) == value


@pytest.mark.parametrize("module", [orjson, FALLBACK], ids=["orjson", "fallback"])
def test_both_refuse_half_a_surrogate_pair_and_what_is_no_json(module: Any) -> None:
    with pytest.raises(module.JSONEncodeError):
        module.dumps(["\ud800"])
    with pytest.raises(TypeError):
        module.dumps("\ud800")
    with pytest.raises(TypeError):
        module.dumps({"a": object()})
    with pytest.raises(module.JSONDecodeError):
        module.loads(b"{")
