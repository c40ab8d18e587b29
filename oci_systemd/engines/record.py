"""What was written into an engine's configuration, so that exactly that can be taken back. It lies beside the settings.

An Entry is one place of one file: `was` is the text that stood there, None where there was nothing; `now` is the value that
was written; `made` counts the tables around it that were made for it; `handlers` are those that need it.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING

from oci_systemd.core.errors import Problem

if TYPE_CHECKING:
    from collections.abc import Iterable

    from oci_systemd.engines.texts import At, Value

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
    """Lines of a file that were written for a handler in the place of others: with them taken back, even blank lines are right."""

    file: str
    handler: str
    was: str
    now: str


@dataclass(frozen=True, slots=True)
class Record:
    """All that was written for one engine; the files and folders that were not there before; how the engine is told."""

    entries: tuple[Entry, ...] = ()
    pieces: tuple[Piece, ...] = ()
    created: tuple[str, ...] = ()
    folders: tuple[str, ...] = ()
    restart: str = ""

    @property
    def handlers(self) -> list[str]:
        return sorted({handler for entry in self.entries for handler in entry.handlers})

    def of(self, handler: str) -> list[Entry]:
        return [entry for entry in self.entries if handler in entry.handlers]

    def entry(self, file: str, at: At) -> Entry | None:
        return next((entry for entry in self.entries if (entry.file, entry.at) == (file, at)), None)

    def with_entry(self, entry: Entry) -> Record:
        others = (other for other in self.entries if (other.file, other.at) != (entry.file, entry.at))
        return replace(self, entries=(*others, entry))

    def without(self, handler: str, kept: Iterable[tuple[str, At]] = ()) -> tuple[Record, list[Entry]]:
        """The record without `handler`, but at and below `kept`; and the entries that no handler needs any more."""
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
    """`entry`, answerable now for the tables that were made for an entry beside it that is gone."""
    beside = [other.made for other in gone if (other.file, other.at[:-1]) == (entry.file, entry.at[:-1])]
    return replace(entry, made=max([entry.made, *beside]))


def path(engine: str) -> str:
    return f"{FOLDER}/{engine}.json"


def written(record: Record) -> str | None:
    """The record's text; None where nothing is on record."""
    if not record.entries:
        return None
    return json.dumps({"version": VERSION, **asdict(record)}, indent=2, ensure_ascii=False) + "\n"


def read(text: str | None, engine: str) -> Record:
    """The record that `text` holds, an empty one for None. A Problem where it cannot be read."""
    if text is None:
        return Record()
    try:
        document = json.loads(text)
        if document.pop("version") != VERSION:
            raise Problem(f"{path(engine)} was written by another version of oci-systemd: use that one, or its newer")
        entries = [
            Entry(**each | {"at": tuple(each["at"]), "handlers": tuple(each["handlers"])})
            for each in document.pop("entries")
        ]
        pieces = [Piece(**each) for each in document.pop("pieces")]
        created, folders = (tuple(document.pop(name)) for name in ("created", "folders"))
        return Record(tuple(entries), tuple(pieces), created, folders, **document)
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise Problem(
            f"{path(engine)} is damaged ({error}); it tells what to take back: restore it, or remove it"
        ) from None
