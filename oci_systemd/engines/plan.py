"""From what an engine needs to the new texts of its files, and back: the one flow of `install` and of `uninstall`.

Law: what is taken back right after it was written gives the very bytes that were there before, and what somebody else wrote
meanwhile stays. A plan is whole before anything is written.
"""

from __future__ import annotations

import posixpath
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from difflib import SequenceMatcher
from typing import TYPE_CHECKING, Protocol

from oci_systemd.engines import record as records
from oci_systemd.engines.record import Entry, Piece, Record
from oci_systemd.engines.texts import JsonText, Template, Text, Toml, Whole

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from oci_systemd.engines.texts import At, Value

HEAD = "# Written by `oci-systemd install ENGINE`; `oci-systemd uninstall ENGINE` takes it away.\n"
BASE = '{{ template "base" . }}\n'  # what k3s and rke2 write by themselves
# How a file is read, and with what a new one begins.
FORMATS: dict[str, tuple[Callable[[str, str], Text], str]] = {
    ".json": (JsonText, ""),
    ".toml": (Toml, HEAD),
    ".conf": (Toml, HEAD),
    ".tmpl": (Template, BASE),
}


class Tree(Protocol):
    """The files of a machine, or of a root file system elsewhere."""

    def read(self, path: str) -> str | None:
        """The text of the file at `path`; None where there is none."""

    def glob(self, pattern: str) -> list[str]:
        """The paths that match `pattern`, in order."""

    def exists(self, path: str) -> bool:
        """Whether anything is at `path`."""


@dataclass(frozen=True, slots=True)
class Edit:
    """`value` is to stand at `at`, the keys from the top of `file` down; () is the whole of a file that is ours alone.

    `firm`: it is set whatever stands there; else what somebody else has put there stays.
    """

    file: str
    at: At
    value: Value
    firm: bool = False


@dataclass(frozen=True, slots=True)
class Change:
    """One file's text before and after; None where there is no file. `mode` is for a new one."""

    path: str
    old: str | None
    new: str | None
    mode: int = 0o644


@dataclass(frozen=True, slots=True)
class Plan:
    """What is to be written, all of it or nothing: `changes`, and the `folders` that go afterwards if they are empty.

    `kept` are sentences on what somebody else has changed, and what stays for that.
    """

    changes: list[Change] = field(default_factory=list)
    folders: list[str] = field(default_factory=list)
    kept: list[str] = field(default_factory=list)

    @property
    def concerns_engine(self) -> bool:
        """Whether the engine must be told: more than our own record changes."""
        return any(not change.path.startswith(records.FOLDER) for change in self.changes)


def install(engine: str, handler: str, tree: Tree, needs: Callable[[Tree], list[Edit]], *, restart: str = "") -> Plan:
    """The plan that makes what `needs` names for `handler`. It is asked about the files as they would be without us."""
    without = Overlay(tree, uninstall(engine, handler, tree).changes)
    edits = needs(without)
    files = _Files(engine, tree)
    files.take_back(handler, [(edit.file, edit.at) for edit in edits])
    for edit in edits:
        files.make(edit, handler)
    new = files.texts()
    pieces = [piece for file, text in new.items() for piece in _pieces(file, handler, without.read(file), text)]
    return files.plan(new, replace(files.record, restart=restart, pieces=(*files.record.pieces, *pieces)))


def uninstall(engine: str, handler: str, tree: Tree) -> Plan:
    """The plan that takes back what was written for `handler` alone."""
    files = _Files(engine, tree)
    pieces = [piece for piece in files.record.pieces if piece.handler == handler]
    files.take_back(handler)
    new = {file: files.without_pieces(file, text, pieces) for file, text in files.texts().items()}
    return files.plan(new, files.record)


class Overlay:
    """A tree as it would be with some changes made."""

    def __init__(self, tree: Tree, changes: Iterable[Change]) -> None:
        self.tree = tree
        self.changed = {change.path: change.new for change in changes}

    def read(self, path: str) -> str | None:
        return self.changed[path] if path in self.changed else self.tree.read(path)

    def glob(self, pattern: str) -> list[str]:
        return [path for path in self.tree.glob(pattern) if self.changed.get(path, "") is not None]

    def exists(self, path: str) -> bool:
        return self.changed.get(path, "") is not None and self.tree.exists(path)


class _Files:
    """The texts that one plan changes, opened as they are asked for, and the record of what is done to them."""

    def __init__(self, engine: str, tree: Tree) -> None:
        self.engine = engine
        self.tree = tree
        self.own = records.path(engine)
        self.record = records.read(tree.read(self.own), engine)
        self.opened: dict[str, Text] = {}
        self.kept: list[str] = []

    def open(self, file: str) -> Text:
        if file not in self.opened:
            old = self.tree.read(file)
            format, new = _format(file)
            self.opened[file] = format(file, new.replace("ENGINE", self.engine) if old is None else old)
        return self.opened[file]

    def texts(self) -> dict[str, str | None]:
        """The new text of each file that was opened; None for one that goes: ours from the start, with nothing left in it."""
        return {file: None if self._goes(file, text) else text.text() for file, text in self.opened.items()}

    def _goes(self, file: str, text: Text) -> bool:
        ours = file in self.record.created or self.tree.read(file) is None
        return ours and text.is_bare(_format(file)[1].replace("ENGINE", self.engine))

    # What is written

    def make(self, edit: Edit, handler: str) -> None:
        text, at = self.open(edit.file), edit.at
        current, entry = text.get(at), self.record.entry(edit.file, at)
        if entry is None and isinstance(current, dict) and isinstance(edit.value, dict):
            for key, value in edit.value.items():  # somebody else's table: only what it lacks becomes ours
                self.make(replace(edit, at=(*at, key), value=value), handler)
            return
        target = edit.value if edit.firm else reconciled(current, edit.value, entry.now if entry else None)
        if target != edit.value:
            self.kept.append(f"{edit.file}: {'.'.join(at)} was changed by somebody else, and stays so")
        if entry is None and current == target:
            return
        was, made = (entry.was, entry.made) if entry else (None, 0)
        if current not in (None, target, entry.now if entry else None) and not isinstance(current, dict):
            was = text.raw(at)
        if current != target:
            made = _put(text, at, current, target) or made
        handlers = {handler, *(entry.handlers if entry else ())}
        self.record = self.record.with_entry(Entry(edit.file, at, was, edit.value, made, tuple(sorted(handlers))))

    # What is taken back

    def take_back(self, handler: str, kept: Sequence[tuple[str, At]] = ()) -> None:
        """Undo what stands for `handler` alone, but at and below the places `kept`."""
        self.record, gone = self.record.without(handler, kept)
        for entry in reversed(gone):
            self._undo(entry)

    def _undo(self, entry: Entry) -> None:
        text, at, was = self.open(entry.file), entry.at, entry.was
        current = text.get(at)
        if current == entry.now and was is not None:
            text.put(at, was)
        elif current == entry.now or (was is None and isinstance(current, dict)):
            text.remove(at, entry.made)
        elif isinstance(current, list) and isinstance(entry.now, list):
            before = text.value_of(was) if was is not None else None
            stays = before if isinstance(before, list) else []
            text.set(at, [item for item in current if item in stays or item not in entry.now])
        elif current is not None:
            self.kept.append(f"{entry.file}: {'.'.join(at)} was changed since, and stays {current!r}")

    def without_pieces(self, file: str, new: str | None, pieces: Iterable[Piece]) -> str | None:
        """The text of `file` with our lines put back, if that says the same as `new`; else `new`."""
        text = self.tree.read(file)
        if new is None or text is None:
            return new
        for piece in pieces:
            if piece.file == file and text.count(piece.now) == 1:
                text = text.replace(piece.now, piece.was)
        return text if self.opened[file].says(text) else new

    # What comes of it

    def plan(self, new: dict[str, str | None], record: Record) -> Plan:
        changes = [Change(file, self.tree.read(file), text, self._mode(file)) for file, text in new.items()]
        created = [change.path for change in changes if change.old is None and change.new is not None]
        record = replace(
            record,
            created=_each_once(file for file in (*record.created, *created) if new.get(file, "") is not None),
            folders=_each_once([*record.folders, *_missing_folders(self.tree, [*created, self.own])]),
        )
        changes.append(Change(self.own, self.tree.read(self.own), records.written(record)))
        own = (records.FOLDER, posixpath.dirname(records.FOLDER))  # of all engines: who goes last removes them
        folders = [] if record.entries else [*_each_once([*own, *reversed(record.folders)])]
        return Plan([change for change in changes if change.old != change.new], folders, self.kept)

    def _mode(self, file: str) -> int:
        return 0o755 if isinstance(self.opened[file], Whole) else 0o644


def _format(file: str) -> tuple[Callable[[str, str], Text], str]:
    return FORMATS.get(posixpath.splitext(file)[1], (Whole, ""))


def _each_once(items: Iterable[str]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(items))


def _missing_folders(tree: Tree, files: Iterable[str]) -> Iterator[str]:
    """The folders that must be made for `files`, parents first."""
    for file in files:
        missing, folder = [], posixpath.dirname(file)
        while not tree.exists(folder):
            missing.append(folder)
            folder = posixpath.dirname(folder)
        yield from reversed(missing)


def _pieces(file: str, handler: str, old: str | None, new: str | None) -> Iterator[Piece]:
    """The lines in which `new` differs from `old`."""
    if old is None or new is None:
        return
    before, after = old.splitlines(keepends=True), new.splitlines(keepends=True)
    for tag, i1, i2, j1, j2 in SequenceMatcher(None, before, after, autojunk=False).get_opcodes():
        if tag != "equal":
            yield Piece(file, handler, "".join(before[i1:i2]), "".join(after[j1:j2]))


def _put(text: Text, at: At, current: Value, target: Value) -> int:
    """Write `target` in the place of `current`; of a table only what differs. The number of tables made for it."""
    if not isinstance(current, dict) or not isinstance(target, dict):
        return text.set(at, target)
    for key in [*current, *(key for key in target if key not in current)]:
        if key not in target:
            text.remove((*at, key))
        elif current.get(key) != target[key]:
            _put(text, (*at, key), current.get(key), target[key])
    return 0


def reconciled(current: Value, wanted: Value, ours: Value) -> Value:
    """What is to stand where `current` stands: `wanted`, but for what somebody changed since `ours` was written there."""
    if not isinstance(current, dict) or not isinstance(wanted, dict):
        return wanted if current in (None, ours) else current
    before = ours if isinstance(ours, dict) else {}
    # What was ours, and is wanted no longer, goes.
    theirs = {
        key: value for key, value in current.items() if key in wanted or key not in before or value != before[key]
    }
    return theirs | {key: reconciled(current.get(key), value, before.get(key)) for key, value in wanted.items()}
