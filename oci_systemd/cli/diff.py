"""Unified diffs for people. JSON on a single line is first split into lines."""

from __future__ import annotations

import difflib
import re
from itertools import pairwise

import click

from oci_systemd.cli.output import safe

OPENING, CLOSING = ("{", "["), ("}", "]")
WORDS = re.compile(r'"(?:[^"\\]|\\.)*"|[{}\[\],:]|[^\s{}\[\],:"]+')
COLOURS = {"+": "green", "-": "red", "@": "cyan"}


def pretty(text: str) -> str:
    """Return JSON `text` with a line for each item. Only blanks differ."""
    parts: list[str] = []
    depth = 0
    for before, word in pairwise(["", *WORDS.findall(text)]):
        depth -= word in CLOSING
        starts_line = before not in OPENING if word in CLOSING else before in (*OPENING, ",")
        parts.append("\n" + "  " * depth + word if starts_line else word)
        if word == ":":
            parts.append(" ")
        depth += word in OPENING
    return "".join(parts) + "\n"


def unified(name: str, old: str, new: str, *, json: bool = True) -> list[str]:
    """Return the lines of the unified diff, each with its line end; empty if the texts are equal."""
    if old == new:
        return []
    if json and "\n" not in old.strip():
        old, new = pretty(old), pretty(new)
    name = safe(name)
    found = difflib.unified_diff(_lines(old), _lines(new), name, name)
    return [line if line.endswith("\n") else line + "\n\\ No newline at end of file\n" for line in found]


def _lines(text: str) -> list[str]:
    """Split into lines as diff(1) does: JSON may contain U+2028, at which str.splitlines would split too."""
    lines = [line + "\n" for line in text.split("\n")]
    lines[-1] = lines[-1][:-1]
    return lines if lines[-1] else lines[:-1]


def coloured(lines: list[str]) -> list[str]:
    """Return the diff's lines with colours, safe for a terminal."""
    return [click.style(safe(line.rstrip("\n")), fg=COLOURS.get(line[0])) + "\n" for line in lines]
