"""A plan carried out: its files written, the engine restarted and asked for the handler, and all rolled back where it has none.

Invariant: whoever is killed in between leaves a note below /run, which a reboot clears, and the next call completes it. On another
root, where nobody reads what is printed, a plan that failed is not tried again for an hour: each try restarts the engine twice.
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
RETRY = 3600.0  # seconds until a plan that failed is tried again
LOCKED = 60.0  # seconds that a rollback waits for another oci-systemd


@dataclass(frozen=True)
class Reporter:
    """Where an installation's words go: `line` takes what was done, `note` what the reader should know."""

    line: Callable[[str], None]
    note: Callable[[str], None]


class Note(NamedTuple):
    """What is left of an engine's last transaction: the `pending` command, or the digest of a plan that `failed`, why and when."""

    pending: str = ""
    failed: str = ""
    why: str = ""
    when: float = 0.0


@dataclass(frozen=True)
class Transaction:
    """How a plan for one handler of an engine is carried out.

    `command` makes the engine read its configuration, "" where it does so by itself; `automatic`: it is run, not printed.
    `socket`: where the engine is asked whether it serves the handler, "" where it is not; `was_there`: whether the socket existed
    before. `undo`: the plan that removes the handler. `remark`: said with what was written of the engine's files.
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
        """Wait until the engine serves the handler. A Problem where it does not."""
        if self.can_ask:
            running.wait_for(self.engine, self.handler, self.tree.outside(self.socket))

    def lacks(self) -> bool:
        """Whether the engine says that it does not serve the handler. A Problem where it does not answer."""
        return self.can_ask and not running.serves(self.engine, self.handler, self.tree.outside(self.socket))

    def must_restart(self, plan: Plan) -> bool:
        """Whether the engine has to read its configuration again for `plan`. A Problem where it cannot, or has just failed to."""
        note = _note(self)
        # A call that was killed in between has written the files, and restarted nothing.
        needed = plan.concerns_engine or bool(note.pending) or (self.automatic and self.lacks())
        if needed and self.automatic and self.command:
            commands.check_systemd(self.command, self.tree.root)
        left = note.when + RETRY - time.time()
        if needed and self.automatic and note.failed == _digest(plan, self) and 0 < left <= RETRY:
            raise Problem(
                f"this was tried {(RETRY - left) // 60:.0f} minutes ago, and failed: {note.why}; it is tried again after an hour, "
                f"or once {_path(self)} is gone"
            )
        return needed

    def complete(self) -> bool:
        """Run the command that a killed call left pending, and forget what failed. Whether it is left to somebody else."""
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
            # Where a call was killed, the plan is carried out already, and what removes the handler is the rollback.
            back = _reverse(plan, made) if plan.changes else self.undo() if was_killed else Plan()
            _restart(back, self)
        elif restart and self.command:
            _set_note(self, Note())  # from here on it is theirs to do
            self.report.line(f"next: {self.command}")


def _restart(back: Plan, transaction: Transaction) -> None:
    """Restart the engine and verify. A Problem where it does not come up as planned, and with `back` carried out."""
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
    """Carry `back` out, and restart the engine again; how that went, in words. What is pending is noted before it is done."""
    if transaction.tree.is_this_machine:
        failed = Note(pending=transaction.command)
    try:
        transaction.tree.commit([*_noted(transaction, failed), *back.changes], back.folders, patience=LOCKED)
    except Problem as problem:
        return f"cannot roll back, the new files stay: {problem}"
    if not back.changes:
        return "its files are unchanged"
    try:
        if transaction.command:
            commands.restart(transaction.command, transaction.tree.root)
        _set_note(transaction, failed._replace(pending=""))
    except Problem as problem:
        return f"rolled back, but the engine still fails: {problem}"
    return "rolled back, and the engine runs"


def _reverse(plan: Plan, made: list[str]) -> Plan:
    """The plan that rolls `plan` back, which has `made` folders."""
    return Plan([replace(change, old=change.new, new=change.old) for change in reversed(plan.changes)], made)


def _above(changes: Iterable[Change]) -> list[str]:
    """The folders that the files of `changes` are in, the deepest first."""
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
    """The change that leaves `note`, if it is one; an empty note is no file."""
    old = transaction.tree.read(_path(transaction))
    new = json.dumps(note._asdict()) + "\n" if any(note) else None
    return [Change(_path(transaction), old, new)] if old != new else []


def _set_note(transaction: Transaction, note: Note) -> None:
    if change := _noted(transaction, note):
        transaction.tree.commit(change, [NOTES])


def _digest(plan: Plan, transaction: Transaction) -> str:
    """What tells one plan from another."""
    said = json.dumps([transaction.handler, *sorted((change.path, change.new or "") for change in plan.changes)])
    return hashlib.sha256(said.encode()).hexdigest()
