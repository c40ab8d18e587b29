"""Carry out a plan: write the files, restart the engine, ask it for the handler, and roll back if the handler is missing.

Invariant: a killed process leaves a note below /run, which a reboot clears, and the next call completes the plan. On another root,
where a pod tries again and again, a failed plan is not tried for an hour: each try restarts the engine twice.
"""

from __future__ import annotations

import hashlib
import json
import time
from dataclasses import dataclass, replace
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, NamedTuple

from oci_systemd.core.errors import Problem
from oci_systemd.engines.plan import Change, Plan
from oci_systemd.host import commands
from oci_systemd.installation import running

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from oci_systemd.host.tree import Tree

NOTES = "/run/oci-systemd"
RETRY = 3600.0  # seconds until a failed plan is tried again
LOCKED = 60.0  # seconds that a rollback waits for another oci-systemd


@dataclass(frozen=True)
class Reporter:
    """The output of an installation: `line` for what was done, `note` for warnings."""

    line: Callable[[str], None]
    note: Callable[[str], None]


class Note(NamedTuple):
    """The note of an engine's last transaction: the `pending` command, or the digest of a plan that `failed`, with reason and
    time."""

    pending: str = ""
    failed: str = ""
    why: str = ""
    when: float = 0.0


@dataclass(frozen=True)
class Transaction:
    """How to carry out a plan for one handler of an engine.

    `command` makes the engine read its configuration, "" if it needs none; `automatic`: run it instead of printing it. `socket`:
    the engine's socket, to ask for the handler, "" if it has none; `was_there`: whether the socket existed before. `undo`: the plan
    that removes the handler. `remark`: a line to print after the written files.
    """

    tree: Tree
    engine: str
    handler: str
    command: str
    automatic: bool
    report: Reporter
    socket: str = ""
    was_there: bool = False
    undo: Callable[[], Plan] = Plan
    remark: str = ""

    @property
    def can_ask(self) -> bool:
        return bool(self.socket) and (self.was_there or self.tree.exists(self.socket))

    def verify(self) -> None:
        """Wait until the engine has the handler. Raise a Problem if it does not."""
        if self.can_ask:
            running.wait_for(self.engine, self.handler, self.tree.outside(self.socket))

    def lacks(self) -> bool:
        """Return whether the engine reports that it does not have the handler. Raise a Problem if it does not answer."""
        return self.can_ask and not running.serves(self.engine, self.handler, self.tree.outside(self.socket))

    def must_restart(self, plan: Plan) -> bool:
        """Return whether the engine must read its configuration again for `plan`. Raise a Problem if it cannot, or has just
        failed."""
        note = _note(self)
        # A killed call may have written the files without restarting the engine.
        needed = plan.concerns_engine or bool(note.pending) or (self.automatic and self.lacks())
        if needed and self.automatic and self.command:
            commands.check_systemd(self.command, self.tree.root)
        left = note.when + RETRY - time.time()
        if needed and self.automatic and note.failed == _digest(plan, self) and 0 < left <= RETRY:
            raise Problem(
                f"the same change failed {(RETRY - left) // 60:.0f} minutes ago: {note.why}; try again after an hour, "
                f"or remove {_path(self)}"
            )
        return needed

    def complete(self) -> bool:
        """Run the command that a killed call left pending, and forget failures. Return whether the user must run the command."""
        pending = replace(self, command=_note(self).pending)
        if not pending.command:
            _set_note(pending, Note())
            return False
        pending.carry_out(Plan(), restart=pending.must_restart(Plan()))
        return not pending.automatic

    def carry_out(self, plan: Plan, *, restart: bool) -> None:
        """Write `plan`, and `restart` the engine, or print the command."""
        for sentence in plan.kept:
            self.report.note(sentence)
        tree, by_us = self.tree, restart and self.automatic
        made = [folder for folder in _above(plan.changes) if not tree.exists(folder)]
        was_killed = bool(_note(self).pending)
        note = _noted(self, Note(pending=self.command)) if by_us and self.command else []
        if plan.changes or note:
            tree.commit([*note, *plan.changes], plan.folders)
        for change in plan.changes:
            self.report.line(f"{'removed' if change.new is None else 'wrote'} {change.path}")
        if self.remark and plan.concerns_engine:
            self.report.line(self.remark)
        if by_us:
            # After a killed call the files are already written, and a rollback is to remove the handler.
            back = _reverse(plan, made) if plan.changes else self.undo() if was_killed else Plan()
            _restart(back, self)
        elif restart and self.command:
            _set_note(self, Note())  # from here on the user runs the command
            self.report.line(f"next: {self.command}")


def _restart(back: Plan, transaction: Transaction) -> None:
    """Restart the engine and verify the handler. If that fails, carry out `back` and raise a Problem."""
    try:
        if transaction.command:
            commands.restart(transaction.command, transaction.tree.root)
        transaction.verify()
    except Problem as problem:
        failed = Note(transaction.command, _digest(_reverse(back, []), transaction), str(problem), time.time())
        raise Problem(f"{problem}; {_roll_back(back, transaction, failed)}") from None
    _set_note(transaction, Note())
    if transaction.command:
        transaction.report.line(f"done: {transaction.command}")


def _roll_back(back: Plan, transaction: Transaction, failed: Note) -> str:
    """Carry out `back`, and restart the engine again; return the result in words. The pending command is noted first."""
    if transaction.tree.is_this_machine:
        failed = Note(pending=transaction.command)
    try:
        transaction.tree.commit([*_noted(transaction, failed), *back.changes], back.folders, patience=LOCKED)
    except Problem as problem:
        return f"cannot roll back, and the new files are still in place: {problem}"
    if not back.changes:
        return "its files are unchanged"
    try:
        if transaction.command:
            commands.restart(transaction.command, transaction.tree.root)
        _set_note(transaction, failed._replace(pending=""))
    except Problem as problem:
        return f"rolled back, but the engine still fails: {problem}{_kept(transaction)}"
    return f"rolled back, and the engine runs{_kept(transaction)}"


def _kept(transaction: Transaction) -> str:
    """A reload adds handlers, but removes none (docker.py)."""
    return "; it keeps the handler in memory until it is restarted" if " reload " in transaction.command else ""


def _reverse(plan: Plan, made: list[str]) -> Plan:
    """Return the plan that undoes `plan`, which has made the directories `made`."""
    return Plan([replace(change, old=change.new, new=change.old) for change in reversed(plan.changes)], made)


def _above(changes: Iterable[Change]) -> list[str]:
    """Return the directories of the files in `changes`, the deepest first."""
    folders = {str(folder) for change in changes for folder in PurePosixPath(change.path).parents}
    return sorted(folders, key=len, reverse=True)


# Notes


def _path(transaction: Transaction) -> str:
    return f"{NOTES}/{transaction.engine}.json"


def _note(transaction: Transaction) -> Note:
    try:
        return Note(**json.loads(transaction.tree.read(_path(transaction)) or "{}"))
    except (ValueError, TypeError):
        return Note()


def _noted(transaction: Transaction, note: Note) -> list[Change]:
    """Return the change that writes `note`, if it differs; an empty note removes the file."""
    old = transaction.tree.read(_path(transaction))
    new = json.dumps(note._asdict()) + "\n" if any(note) else None
    return [Change(_path(transaction), old, new)] if old != new else []


def _set_note(transaction: Transaction, note: Note) -> None:
    if change := _noted(transaction, note):
        transaction.tree.commit(change, [NOTES])


def _digest(plan: Plan, transaction: Transaction) -> str:
    """Return a digest that identifies the plan."""
    said = json.dumps([transaction.handler, *sorted((change.path, change.new or "") for change in plan.changes)])
    return hashlib.sha256(said.encode()).hexdigest()
