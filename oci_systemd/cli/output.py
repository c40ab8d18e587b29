"""What the command line prints: text made safe for a terminal, sentences on stderr, tables, and a progress bar.

Law: what a container's author wrote reaches a terminal only through `safe`, and a reader that went away changes nothing
about the work: what is left to print goes nowhere.
"""

from __future__ import annotations

import os
import shutil
import sys
import textwrap
import time
from typing import TYPE_CHECKING, TextIO

import click

from oci_systemd.core.errors import Problem, printable

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from types import TracebackType

PROGRAM = "oci-systemd"
LONGEST = 300  # characters of one text in a table
PATIENCE = 1.0  # seconds of work before a progress bar is worth its place
WIDEST = 1 << 16  # columns where no terminal sets them: no line is broken


def safe(text: str, longest: int = 0) -> str:
    """`text` on one line, with an escape for all that is not printable; cut to `longest` characters where that is given."""
    if longest and len(text) > longest:
        text = f"{text[:longest]}… ({len(text)} characters)"
    return printable(text)


def out(data: str | bytes) -> None:
    """Print to stdout."""
    if sys.stdout is None:
        raise Problem("stdout is closed; give it a place to write to")
    try:
        click.echo(data, nl=False)
    except OSError as error:
        silence(sys.stdout)
        if not isinstance(error, BrokenPipeError):
            raise Problem(f"stdout cannot be written: {error.strerror}") from None


def say(sentence: object) -> None:
    """Print one sentence of ours to stderr."""
    try:
        click.echo(f"{PROGRAM}: {safe(str(sentence))}", err=True)
    except OSError:
        silence(sys.stderr)


def silence(stream: TextIO) -> None:
    """Let all that `stream` still holds, or is given, go nowhere."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, stream.fileno())
    os.close(nowhere)


def on_terminal(stream: TextIO | None) -> bool:
    return stream is not None and stream.isatty()


def colours_allowed() -> bool | None:
    """click's answer on colours: False where the environment forbids them (no-color.org), None for "on a terminal"."""
    return False if os.environ.get("NO_COLOR") or os.environ.get("TERM") == "dumb" else None


def heading(text: str) -> str:
    return click.style(text, bold=True) + "\n"


def table(rows: Iterable[tuple[str, str]]) -> str:
    """Two columns, indented; folded to the terminal where there is one."""
    shown = [(safe(left, LONGEST), safe(right, LONGEST)) for left, right in rows]
    width = shutil.get_terminal_size().columns if on_terminal(sys.stdout) else WIDEST
    first = min(max((len(left) for left, right in shown if right), default=0), max(width * 55 // 100, 20))
    return "".join(line.rstrip() + "\n" for left, right in shown for line in _folded(left, right, first, width))


def _folded(left: str, right: str, first: int, width: int) -> Iterator[str]:
    if not right:
        yield from textwrap.wrap(left, max(width - 2, 20), initial_indent="  ", subsequent_indent="  ")
        return
    lefts = textwrap.wrap(left, first) or [""]
    rights = textwrap.wrap(right, max(width - first - 4, 20)) or [""]
    for index in range(max(len(lefts), len(rights))):
        yield f"  {lefts[index] if index < len(lefts) else '':{first}}  {rights[index] if index < len(rights) else ''}"


class Progress:
    """A bar on stderr, where that is a terminal and the work takes longer than PATIENCE."""

    def __init__(self, total: int) -> None:
        self.total = total
        self.starts = time.monotonic() + PATIENCE
        self.done = 0
        self.bar = click.progressbar(length=total, label="rewriting", file=sys.stderr)
        self.shown = False

    def __enter__(self) -> Progress:
        return self

    def step(self) -> None:
        self.done += 1
        if not self.shown and self.done < self.total and time.monotonic() > self.starts and on_terminal(sys.stderr):
            self.bar.__enter__()
            self.shown = True
        if self.shown:
            self.bar.update(self.done - self.bar.pos)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self.shown:
            self.bar.__exit__(kind, error, trace)


def encoded(document: object) -> bytes:
    """`document` as indented JSON in UTF-8, for machines, or for the terminal that stdout is."""
    import orjson

    return json_bytes(orjson.dumps(_encodable(document), option=orjson.OPT_INDENT_2 | orjson.OPT_APPEND_NEWLINE))


def json_bytes(data: bytes) -> bytes:
    """Return JSON for stdout. On a terminal, letters that are not printable (C1 controls, bidirectional marks) are escaped: JSON
    has them in strings only."""
    if not on_terminal(sys.stdout):
        return data
    text = data.decode(errors="replace")
    return "".join(letter if letter.isprintable() or letter in "\n\t" else _escaped(letter) for letter in text).encode()


def _escaped(letter: str) -> str:
    """A letter as JSON escapes it: by its UTF-16 units."""
    units = letter.encode("utf-16-be")
    return "".join(f"\\u{units[index]:02x}{units[index + 1]:02x}" for index in range(0, len(units), 2))


def _encodable(value: object) -> object:
    """`value` for JSON in UTF-8: half a surrogate pair, which a config.json may hold, becomes its escape."""
    if isinstance(value, str):
        return value.encode(errors="backslashreplace").decode()
    if isinstance(value, (list, tuple)):
        return [_encodable(item) for item in value]
    return {key: _encodable(item) for key, item in value.items()} if isinstance(value, dict) else value
