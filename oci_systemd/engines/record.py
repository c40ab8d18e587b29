"""The record of what was written into an engine's configuration, for `uninstall`. It is stored beside the settings.

An Entry is one place in one file: `was` is the text before, None if there was none; `now` is the written value; `made` counts the
tables that were made around it; `handlers` are those that need it. If two handlers need different values at one place, each has an
entry, and `was` of the later one is the value of the earlier one.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, fields, replace
from typing import TYPE_CHECKING, Any

from oci_systemd.core.errors import Problem

if TYPE_CHECKING:
    from collections.abc import Iterable

    from oci_systemd.engines.texts.text import At, Value

FOLDER = "/etc/oci-systemd/engines"
VERSION = 1


@dataclass(frozen=True, slots=True)
class Entry:
    file: str
    at: At
    was: str | None
    now: Value
    made: int
    handlers: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Piece:
    """Lines that were written for a handler in place of others. They allow an uninstall to restore even blank lines."""

    file: str
    handler: str
    was: str
    now: str


@dataclass(frozen=True, slots=True)
class Original:
    """A file before our first change, and after our last one. If nobody has changed it since, its bytes can be restored."""

    file: str
    was: str
    now: str


@dataclass(frozen=True, slots=True)
class Record:
    """Everything written for one engine; the new files and directories; the command that makes the engine read them."""

    entries: tuple[Entry, ...] = ()
    pieces: tuple[Piece, ...] = ()
    originals: tuple[Original, ...] = ()
    created: tuple[str, ...] = ()
    folders: tuple[str, ...] = ()
    restart: str = ""

    @property
    def handlers(self) -> list[str]:
        return sorted({handler for entry in self.entries for handler in entry.handlers})

    def of(self, handler: str) -> list[Entry]:
        return [entry for entry in self.entries if handler in entry.handlers]

    def at(self, file: str, at: At) -> list[Entry]:
        return [entry for entry in self.entries if (entry.file, entry.at) == (file, at)]

    def with_entry(self, entry: Entry, instead: Entry | None) -> Record:
        """Return the record with `entry` in place of another one. Entries are undone in reverse order."""
        if instead is None:
            return replace(self, entries=(*self.entries, entry))
        return replace(self, entries=tuple(entry if other == instead else other for other in self.entries))

    def without(self, handler: str, kept: Iterable[tuple[str, At]] = ()) -> tuple[Record, list[Entry]]:
        """Return the record without `handler`, except at and below `kept`, and the entries that no handler needs any more."""
        stays = [*kept]
        left = [
            entry
            if any(entry.file == file and entry.at[: len(at)] == at for file, at in stays)
            else replace(entry, handlers=tuple(name for name in entry.handlers if name != handler))
            for entry in self.entries
        ]
        gone = [entry for entry in left if not entry.handlers]
        entries = tuple(_heir(entry, gone) for entry in left if entry.handlers)
        pieces = tuple(piece for piece in self.pieces if piece.handler != handler)
        return replace(self, entries=entries, pieces=pieces), gone


def _heir(entry: Entry, gone: Iterable[Entry]) -> Entry:
    """Return `entry`, with the number of tables that were made for a removed entry beside it."""
    beside = [other.made for other in gone if (other.file, other.at[:-1]) == (entry.file, entry.at[:-1])]
    return replace(entry, made=max([entry.made, *beside]))


def path(engine: str) -> str:
    return f"{FOLDER}/{engine}.json"


def written(record: Record) -> str | None:
    """Return the record's text; None if the record is empty."""
    if not record.entries:
        return None
    return json.dumps({"version": VERSION, **asdict(record)}, indent=2, ensure_ascii=False, default=str) + "\n"


def read(text: str | None, engine: str) -> Record:
    """Return the record in `text`, an empty one for None. Raise a Problem if it is invalid."""
    if text is None:
        return Record()
    try:
        document = json.loads(text)
        if document.pop("version") != VERSION:
            raise Problem(f"{path(engine)}: written by another version of oci-systemd; use that version or a newer one")
        entries = tuple(map(_entry, document.pop("entries")))
        pieces = tuple(Piece(*map(_word, _fields(each, Piece))) for each in document.pop("pieces"))
        originals = tuple(Original(*map(_word, _fields(each, Original))) for each in document.pop("originals", ()))
        created, folders = (_words(document.pop(name)) for name in ("created", "folders"))
        whole = {entry.file for entry in entries if not entry.at}
        if any(entry.at for entry in entries if entry.file in whole):
            raise ValueError("a file is listed both as a whole and in parts")
        return Record(entries, pieces, originals, created, folders, _word(document["restart"]))
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
        raise damaged(engine, error) from None


def damaged(engine: str, error: object) -> Problem:
    return Problem(f"{path(engine)}: damaged ({error}); uninstall needs it: restore it, or remove it")


def _entry(given: Any) -> Entry:
    file, at, was, now, made, handlers = _fields(given, Entry)
    if not isinstance(made, int):
        raise TypeError(f"{made!r} is not a number")
    if not at:
        _word(now)
    return Entry(_word(file), _words(at), None if was is None else _word(was), now, made, _words(handlers))


def _fields(given: Any, kind: type) -> list[Any]:
    """Return the values of the fields of `kind`; unknown fields, of a later version, are ignored."""
    return [given[field.name] for field in fields(kind)]


def _words(given: Any) -> tuple[str, ...]:
    if not isinstance(given, list):
        raise TypeError(f"{given!r} is not a list")
    return tuple(map(_word, given))


def _word(given: Any) -> str:
    if not isinstance(given, str):
        raise TypeError(f"{given!r} is not a string")
    return given
