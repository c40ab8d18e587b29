"""Output of the command line: text made safe for a terminal, sentences on stderr, tables, and a progress bar.

Law: text from a container's author reaches a terminal only through `safe`. If the reader of the output disappears, the work goes
on, and the rest of the output is dropped.
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
PATIENCE = 1.0  # seconds of work before a progress bar is shown
WIDEST = 1 << 16  # columns without a terminal: no line is folded


def safe(text: str, longest: int = 0) -> str:
    """Return `text` on one line, with unprintable characters escaped; shortened to `longest` characters if given."""
    if longest and len(text) > longest:
        text = f"{text[:longest]}… ({len(text)} characters)"
    return printable(text)


def out(data: str | bytes) -> None:
    """Print to stdout."""
    if sys.stdout is None:
        raise Problem("stdout is closed; redirect it to a file or a terminal")
    try:
        click.echo(data, nl=False)
    except OSError as error:
        silence(sys.stdout)
        if not isinstance(error, BrokenPipeError):
            raise Problem(f"stdout: cannot write: {error.strerror}") from None


def say(sentence: object) -> None:
    """Print one sentence to stderr."""
    try:
        click.echo(f"{PROGRAM}: {safe(str(sentence))}", err=True)
    except OSError:
        silence(sys.stderr)


def silence(stream: TextIO) -> None:
    """Drop everything that is still in `stream`, or that is written to it later."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, stream.fileno())
    os.close(nowhere)


def on_terminal(stream: TextIO | None) -> bool:
    return stream is not None and stream.isatty()


def colours_allowed() -> bool | None:
    """Return click's value for colours: False if the environment forbids them (no-color.org), None for "on a terminal"."""
    return False if os.environ.get("NO_COLOR") or os.environ.get("TERM") == "dumb" else None


def heading(text: str) -> str:
    return click.style(text, bold=True) + "\n"


def table(rows: Iterable[tuple[str, str]]) -> str:
    """Return two columns, indented, and folded to the width of a terminal."""
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
    """A bar on stderr, if that is a terminal and the work takes longer than PATIENCE."""

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
    """Return `document` as indented JSON in UTF-8, safe for a terminal."""
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
    """Return a letter's JSON escape: its UTF-16 units."""
    units = letter.encode("utf-16-be")
    return "".join(f"\\u{units[index]:02x}{units[index + 1]:02x}" for index in range(0, len(units), 2))


def _encodable(value: object) -> object:
    """Return `value` for JSON in UTF-8: half a surrogate pair, possible in a config.json, becomes its escape."""
    if isinstance(value, str):
        return value.encode(errors="backslashreplace").decode()
    if isinstance(value, (list, tuple)):
        return [_encodable(item) for item in value]
    return {key: _encodable(item) for key, item in value.items()} if isinstance(value, dict) else value
