"""JSON, changed in place by `json_text.patch`: unchanged parts keep their bytes."""

from __future__ import annotations

import copy
import json
from typing import TYPE_CHECKING, cast

from oci_systemd.core.errors import SpecError
from oci_systemd.core.json_text import parse, patch
from oci_systemd.engines.texts.text import MARK, Text, damaged

if TYPE_CHECKING:
    from oci_systemd.core.json_text import Json


class JsonText(Text):
    """JSON text; unchanged parts keep their bytes."""

    def __init__(self, file: str, text: str) -> None:
        self.mark = MARK if text.startswith(MARK) else ""
        text = text.removeprefix(MARK)
        try:
            self.given, self.old = parse(text.encode() if text.strip() else b"{}")
        except SpecError as problem:
            raise damaged(file, str(problem)) from None
        if not isinstance(self.old, dict):
            raise damaged(file, "not a JSON object")
        super().__init__(file, self.old)
        self.value = copy.deepcopy(self.old)

    def text(self) -> str:
        if not self.old:  # there is no style to follow
            new = json.dumps(self.value, indent=2, ensure_ascii=False) + "\n"
            return self.mark + (new if self.value else self.given)
        text = self.mark + patch(self.given, self.old, _shared(self.old, cast("Json", self.value)))
        if not self.says(text):
            raise self.unsafe()
        return text

    def says(self, text: str) -> bool:
        text = text.removeprefix(MARK)
        try:
            said = parse(text.encode())[1] if text.strip() else {}
            return _solid(said) == _solid(cast("Json", self.value))
        except SpecError:
            return False


def _solid(value: Json) -> Json:
    """Return `value` without null and empty objects, which Docker treats as absent."""
    if not isinstance(value, dict):
        return value
    items = ((key, _solid(each)) for key, each in value.items())
    return {key: each for key, each in items if each is not None and each != {}}


def _shared(old: Json, new: Json) -> Json:
    """Return `new` with `old`'s own objects where they are equal: `patch` keeps their text."""
    if old == new and type(old) is type(new):
        return old
    if isinstance(old, dict) and isinstance(new, dict):
        return {key: _shared(old.get(key), value) for key, value in new.items()}
    return new
