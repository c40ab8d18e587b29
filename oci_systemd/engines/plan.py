"""Turn an engine's edits into new texts of its files, and back, for `install` and `uninstall`.

Law: an uninstall directly after an install restores the original bytes, and changes that others made in between stay. A plan is
complete before anything is written.
"""

from __future__ import annotations

import posixpath
import re
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from difflib import SequenceMatcher
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING, Protocol, TypeAlias

from oci_systemd.core.errors import Problem
from oci_systemd.engines import record as records
from oci_systemd.engines.launcher import programs_in
from oci_systemd.engines.record import Entry, Original, Piece, Record
from oci_systemd.engines.texts.json import JsonText
from oci_systemd.engines.texts.template import Template
from oci_systemd.engines.texts.text import Text, Whole
from oci_systemd.engines.texts.toml import Toml, swapped

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from oci_systemd.engines.texts.text import At, Value

MANY = 2000  # lines; in a longer file, frequent lines are not compared, which would take minutes
HEAD = "# Written by `oci-systemd install ENGINE`; `oci-systemd uninstall ENGINE` takes it away.\n"
BASE = '{{ template "base" . }}\n'  # the default template of k3s and rke2
# The format of a file, and the start of a new one: by the end of its name, else by its engine.
Format: TypeAlias = "tuple[Callable[[str, str], Text], str]"
ENDINGS: dict[str, Format] = {".tmpl": (Template, BASE)}
ENGINES: dict[str, Format] = {"docker": (JsonText, "")}
TOML: Format = (Toml, HEAD)


class Tree(Protocol):
    """The files of a machine, or of another root file system."""

    def read(self, path: str) -> str | None:
        """Return the text of the file at `path`; None if it does not exist."""

    def glob(self, pattern: str) -> list[str]:
        """Return the files whose paths match `pattern`, sorted."""

    def below(self, folder: str) -> list[str]:
        """Return the files in `folder` and its subdirectories, sorted."""

    def exists(self, path: str) -> bool:
        """Return whether `path` exists."""


@dataclass(frozen=True, slots=True)
class Edit:
    """Set `value` at `at`, the keys from the top of `file` down; () is the whole of a file that only we write.

    `firm`: replace a value of others, and add to a list; otherwise a value of others stays.
    """

    file: str
    at: At
    value: Value
    firm: bool = False


@dataclass(frozen=True, slots=True)
class Change:
    """One file's text before and after; None if it does not exist. `mode` is for a new file."""

    path: str
    old: str | None
    new: str | None
    mode: int = 0o644


@dataclass(frozen=True, slots=True)
class Plan:
    """The changes, made all together or not at all: `changes`, and `folders` to remove afterwards if they are empty.

    `kept`: sentences on values that stay because others have changed them. `takes_back`: whether something that a handler needed is
    removed.
    """

    changes: list[Change] = field(default_factory=list)
    folders: list[str] = field(default_factory=list)
    kept: list[str] = field(default_factory=list)
    takes_back: bool = False

    @property
    def concerns_engine(self) -> bool:
        """Whether the engine must read its configuration again: more than our own record changes."""
        return any(not change.path.startswith(records.FOLDER) for change in self.changes)


def install(engine: str, handler: str, tree: Tree, needs: Callable[[Tree], list[Edit]], *, restart: str = "") -> Plan:
    """Return the plan for the edits from `needs`, for `handler`. `needs` gets the files as they would be without our changes."""
    tree = Overlay(tree)
    without = Overlay(tree, uninstall(engine, handler, tree).changes)
    edits = needs(without)
    files, before = _Files(engine, tree), _Files(engine, without)
    files.take_back(handler, [(edit.file, edit.at) for edit in edits])
    for edit in edits:
        files.make(edit, handler, before)
    new = files.texts(handler)
    pieces = [piece for file, text in new.items() for piece in _pieces(file, handler, without.read(file), text)]
    originals = {file: without.read(file) if files.is_alone(file, handler) else files.original(file) for file in new}
    return files.plan(new, replace(files.record, restart=restart, pieces=(*files.record.pieces, *pieces)), originals)


def uninstall(
    engine: str, handler: str, tree: Tree, named: Callable[[Tree], list[tuple[str, At]]] | None = None
) -> Plan:
    """Return the plan that removes everything that was written only for `handler`.

    `named` finds the handler in other places, where `containerd config migrate` has moved it; these are removed too.
    """
    files = _Files(engine, Overlay(tree))
    is_written = any(entry.at and programs_in(entry.now) for entry in files.record.of(handler))
    files.take_back(handler)
    if named and is_written:  # a handler that we did not write stays
        files.remove_moved(named(Overlay(tree, files.changes(handler))), handler)
    new = files.texts(handler)
    return files.plan(new, files.record, {file: files.original(file) for file in new})


class Overlay:
    """A tree with some changes made. Each file is read once, so a plan is checked against the texts that it was made from."""

    def __init__(self, tree: Tree, changes: Iterable[Change] = ()) -> None:
        self.tree = tree
        self.texts = {change.path: change.new for change in changes}

    def read(self, path: str) -> str | None:
        if path not in self.texts:
            self.texts[path] = self.tree.read(path)
        return self.texts[path]

    def glob(self, pattern: str) -> list[str]:
        deep = pattern.count("/")
        new = (path for path in self.texts if fnmatchcase(path, pattern) and path.count("/") == deep)
        return self._left([*self.tree.glob(pattern), *new])

    def below(self, folder: str) -> list[str]:
        new = (path for path in self.texts if path.startswith(f"{folder}/"))
        return sorted(self._left([*self.tree.below(folder), *new]), key=lambda path: path.split("/"))

    def _left(self, paths: list[str]) -> list[str]:
        return sorted({path for path in paths if path not in self.texts or self.texts[path] is not None})

    def exists(self, path: str) -> bool:
        return self.texts[path] is not None if path in self.texts else self.tree.exists(path)


class _Files:
    """The texts that one plan changes, opened when needed, and the record of the changes."""

    def __init__(self, engine: str, tree: Tree) -> None:
        self.engine = engine
        self.tree = tree
        self.own = records.path(engine)
        self.record = records.read(tree.read(self.own), engine)
        self.pieces = self.record.pieces
        self.format = ENGINES.get(engine, TOML)
        self.opened: dict[str, Text] = {}
        self.starts: dict[str, str] = {}  # the start of each new file
        self.kept: list[str] = []
        self.takes_back = False
        self.gone: list[Entry] = []  # removed by take_back

    def open(self, file: str, at: At) -> Text:
        """Return the text of `file`, which has the place `at`."""
        if file not in self.opened:
            old = self.tree.read(file)
            format, start = (Whole, "") if not at else ENDINGS.get(posixpath.splitext(file)[1]) or self.format
            self.starts[file] = start.replace("ENGINE", self.engine)
            self.opened[file] = format(file, self.starts[file] if old is None else old)
            self.opened[file].pieces = [(piece.now, piece.was) for piece in self.pieces if piece.file == file]
        return self.opened[file]

    def texts(self, handler: str) -> dict[str, str | None]:
        """Return the new text of each opened file; None for a file that we created and that is empty now."""
        return {
            file: None if self._goes(file, text) else self._text(file, text, handler)
            for file, text in self.opened.items()
        }

    def _text(self, file: str, text: Text, handler: str) -> str:
        """Return the new text; if its values are those without the handler, with the original bytes."""
        old = known = self.tree.read(file) or ""
        for piece in self.pieces:
            if (piece.file, piece.handler) == (file, handler):
                known = swapped(known, piece.now, piece.was)
        candidates = (self.original(file), known if known != old else None)
        return next((each for each in candidates if each is not None and text.says(each)), text.text())

    def _goes(self, file: str, text: Text) -> bool:
        ours = file in self.record.created or self.tree.read(file) is None
        return ours and text.is_bare(self.starts[file])

    # Install

    def make(self, edit: Edit, handler: str, before: _Files) -> None:
        """Write `edit` for `handler`; `before` has the files as they would be without it."""
        text, at = self.open(edit.file, edit.at), edit.at
        current, entry = text.get(at), self._entry(edit, handler)
        if current is not None and type(current) is not type(edit.value):
            raise Problem(f"{_name(edit)}: unexpected value {current!r}; correct it")
        if entry is None and isinstance(current, dict) and isinstance(edit.value, dict):
            for key, value in edit.value.items():  # a table of others: only missing keys are added
                self.make(replace(edit, at=(*at, key), value=value), handler, before)
            return
        target = self._target(edit, current, entry)
        if not edit.firm and target != edit.value:
            self.kept.append(f"{_name(edit)}: changed by someone else; left unchanged")
        if entry is None and current == target and not self.record.at(edit.file, at):
            return
        made = _put(text, at, current, target) if current != target else 0
        if entry and handler in entry.handlers:  # it is now written after the others
            self._inherit(entry)
        self._note(Entry(edit.file, at, before.raw(edit), edit.value, made, (handler,)), entry)

    def _target(self, edit: Edit, current: Value, entry: Entry | None) -> Value:
        """Return the value that replaces `current`."""
        ours = entry.now if entry else None
        if not edit.firm:
            return reconciled(current, edit.value, ours)
        if not isinstance(edit.value, list):
            return edit.value
        stays = [*edit.value, *(self._stays(entry) if entry else ())]
        given = current if isinstance(current, list) else []
        left = [item for item in given if item in stays or item not in (ours if isinstance(ours, list) else [])]
        return [*left, *(item for item in edit.value if item not in left)]

    def _entry(self, edit: Edit, handler: str) -> Entry | None:
        """Return the handler's entry at that place, else an entry of another handler with the same value."""
        there = self.record.at(edit.file, edit.at)
        own = (entry for entry in there if handler in entry.handlers)
        return next(own, None) or next((entry for entry in there if entry.now == edit.value), None)

    def _note(self, new: Entry, old: Entry | None) -> None:
        """Record `new`. A value that other handlers have also written, in `old`, is now needed by all of them."""
        (handler,) = new.handlers
        others = tuple(name for name in old.handlers if name != handler) if old else ()
        if old and others and old.now == new.now:
            self.record = self.record.with_entry(replace(old, handlers=(*sorted({handler, *others}),)), old)
            return
        if old and others:
            self.record = self.record.with_entry(replace(old, handlers=others), old)
        beside = [other for other in self.record.at(new.file, new.at) if handler not in other.handlers]
        was = beside[0].was if beside and isinstance(new.now, list) else new.was  # a list is shared
        made = new.made or (old.made if old and not others else 0)
        self.record = self.record.with_entry(replace(new, was=was, made=made), None if others else old)

    def raw(self, edit: Edit) -> str | None:
        """Return the text at the place of `edit`; None if there is none, or it is a table, which is changed by keys."""
        text = self.open(edit.file, edit.at)
        return text.raw(edit.at) if text.has(edit.at) and not isinstance(text.get(edit.at), dict) else None

    # Uninstall

    def take_back(self, handler: str, kept: Sequence[tuple[str, At]] = ()) -> None:
        """Undo everything that is only for `handler`, except at and below the places `kept`."""
        self.record, gone = self.record.without(handler, kept)
        self.takes_back, self.gone = bool(gone), gone
        for entry in reversed(gone):
            self._undo(entry)

    def _undo(self, entry: Entry) -> None:
        text, at, was = self.open(entry.file, entry.at), entry.at, entry.was
        current = text.get(at)
        if isinstance(current, list) and isinstance(entry.now, list):
            self._take_out(text, entry, current, entry.now)
            return
        beside = self._inherit(entry)
        if current in (None, self._before(entry), *(other.now for other in beside)):
            return
        if was is None and text.needs(at):
            self.kept.append(f"{_name(entry)}: needed by other settings in the file; left unchanged")
        elif current == entry.now and was is not None:
            text.put(at, was)
        elif current == entry.now or (was is None and isinstance(current, dict) and programs_in(current)):
            text.remove(at, entry.made)  # without the wrapper, the rest of a handler's table has no use
        else:
            self.kept.append(f"{_name(entry)}: changed since install; left unchanged ({current!r})")

    def _inherit(self, entry: Entry) -> list[Entry]:
        """Return the entries beside a removed one. If one of them found the removed value, it now has the value found before."""
        for other in self.record.at(entry.file, entry.at):
            if other.was is not None and self._before(other) == entry.now:
                self.record = self.record.with_entry(replace(other, was=entry.was), other)
        return self.record.at(entry.file, entry.at)

    def _before(self, entry: Entry) -> Value:
        """Return the value that was there before; None if there was none."""
        try:
            return None if entry.was is None else self.open(entry.file, entry.at).value_of(entry.was)
        except ValueError as error:
            raise records.damaged(self.engine, error) from None

    def _stays(self, entry: Entry) -> list[Value]:
        """Return the items in a list that this entry's handlers did not add: older ones, and those of entries beside it."""
        others = (other.now for other in self.record.at(entry.file, entry.at) if other != entry)
        return [item for items in (self._before(entry), *others) if isinstance(items, list) for item in items]

    def _take_out(self, text: Text, entry: Entry, current: list[Value], ours: list[Value]) -> None:
        """Remove our items from a list."""
        stays = self._stays(entry)
        left = [item for item in current if item in stays or item not in ours]
        if entry.was is not None and left == self._before(entry):
            text.put(entry.at, entry.was)
        elif left or entry.was is not None:
            text.set(entry.at, left)
        else:
            text.remove(entry.at, entry.made)

    def original(self, file: str) -> str | None:
        """Return the text of a file before our first change; None if others have changed it since."""
        known = (each for each in self.record.originals if each.file == file)
        return next((each.was for each in known if each.now == self.tree.read(file)), None)

    def is_alone(self, file: str, handler: str) -> bool:
        """Return whether no other handler has an entry in `file`."""
        return all(entry.handlers == (handler,) for entry in self.record.entries if entry.file == file)

    def remove_moved(self, places: list[tuple[str, At]], handler: str) -> None:
        """Remove `handler` from other places in the files, and restore the default that it replaced."""
        for file, at in places:
            text = self.open(file, at)
            was = next(
                (self._before(entry) for entry in self.gone if entry.at[-1:] == at[-1:] and entry.now == handler), None
            )
            if text.get(at) == handler and was not in (None, handler):
                text.set(at, was)
            else:
                text.remove(at, len(at) - 1)
            self.takes_back = True

    # Result

    def changes(self, handler: str) -> list[Change]:
        """Return the changes so far."""
        return [Change(file, self.tree.read(file), text) for file, text in self.texts(handler).items()]

    def plan(self, new: dict[str, str | None], record: Record, originals: dict[str, str | None]) -> Plan:
        changes = [Change(file, self.tree.read(file), text, self._mode(file)) for file, text in new.items()]
        created = [change.path for change in changes if change.old is None and change.new is not None]
        record = replace(
            record,
            originals=(
                *(each for each in record.originals if each.file not in new),
                *(
                    Original(file, was, now)
                    for file, now in new.items()
                    if now and (was := originals[file]) is not None
                ),
            ),
            created=_each_once(file for file in (*record.created, *created) if new.get(file, "") is not None),
            folders=_each_once([*record.folders, *_missing_folders(self.tree, [*created, self.own])]),
        )
        # The record is written first and removed last: after a kill in between, uninstall can still clean up.
        own = Change(self.own, self.tree.read(self.own), records.written(record))
        changes.insert(0 if record.entries else len(changes), own)
        shared = (records.FOLDER, posixpath.dirname(records.FOLDER))  # by all engines: the last uninstall removes them
        folders = [] if record.entries else [*_each_once([*shared, *reversed(record.folders)])]
        return Plan([change for change in changes if change.old != change.new], folders, self.kept, self.takes_back)

    def _mode(self, file: str) -> int:
        return 0o755 if isinstance(self.opened[file], Whole) else 0o644


def _name(place: Edit | Entry) -> str:
    return f"{place.file}: {'.'.join(place.at)}" if place.at else place.file


def _each_once(items: Iterable[str]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(items))


def _missing_folders(tree: Tree, files: Iterable[str]) -> Iterator[str]:
    """Yield the directories to create for `files`, parents first."""
    for file in files:
        missing, folder = [], posixpath.dirname(file)
        while not tree.exists(folder):
            missing.append(folder)
            folder = posixpath.dirname(folder)
        yield from reversed(missing)


def _pieces(file: str, handler: str, old: str | None, new: str | None) -> Iterator[Piece]:
    """Yield the lines in which `new` differs from `old`; each added table separately."""
    if old is None or new is None:
        return
    before, after = old.splitlines(keepends=True), new.splitlines(keepends=True)
    for i1, i2, j1, j2 in _differences(before, after):
        while i1 == i2 and j1 and after[j1 - 1] == after[j2 - 1] == "\n":  # the blank line before, not after
            j1, j2 = j1 - 1, j2 - 1
        was, now = "".join(before[i1:i2]), "".join(after[j1:j2])
        for part in [now] if was else re.split(r"(?m)^(?=\n\[)", now):
            if part:
                yield Piece(file, handler, was, part)


def _differences(before: list[str], after: list[str]) -> Iterator[tuple[int, int, int, int]]:
    """Yield the bounds of different lines in `before` and `after`. Equal lines at both ends are skipped first."""
    start = _alike(before, after)
    end = _alike(before[start:][::-1], after[start:][::-1])
    first, second = before[start : len(before) - end], after[start : len(after) - end]
    for tag, i1, i2, j1, j2 in SequenceMatcher(None, first, second, autojunk=len(second) > MANY).get_opcodes():
        if tag != "equal":
            yield start + i1, start + i2, start + j1, start + j2


def _alike(first: list[str], second: list[str]) -> int:
    """Return the number of equal lines at the start of both."""
    shorter = min(len(first), len(second))
    return next((index for index in range(shorter) if first[index] != second[index]), shorter)


def _put(text: Text, at: At, current: Value, target: Value) -> int:
    """Replace `current` with `target`; in a table only the differences. Return the number of new tables."""
    if not isinstance(current, dict) or not isinstance(target, dict):
        return text.set(at, target)
    for key in [*current, *(key for key in target if key not in current)]:
        if key not in target:
            text.remove((*at, key))
        elif current.get(key) != target[key]:
            _put(text, (*at, key), current.get(key), target[key])
    return 0


def reconciled(current: Value, wanted: Value, ours: Value) -> Value:
    """Return the value that replaces `current`: `wanted`, except for changes by others since we wrote `ours`."""
    if not isinstance(current, dict) or not isinstance(wanted, dict):
        return wanted if current in (None, ours) else current
    before = ours if isinstance(ours, dict) else {}
    # Our keys that are no longer wanted are removed.
    theirs = {
        key: value for key, value in current.items() if key in wanted or key not in before or value != before[key]
    }
    return theirs | {key: reconciled(current.get(key), value, before.get(key)) for key, value in wanted.items()}
