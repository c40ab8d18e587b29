"""A plan carried out: its files written, the engine told, asked what came of it, and all put back where that is wrong.

Law: whoever is killed in between leaves a mark below /run, where a start of the machine clears it, and the next one goes on. On
another root, where nobody sees what is printed, a plan that has failed waits: each try restarts the engine twice.
"""

from __future__ import annotations

import hashlib
import json
import sys
import time
from dataclasses import dataclass, replace
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, NamedTuple

from oci_systemd.cli import live
from oci_systemd.cli.diff import coloured, unified
from oci_systemd.cli.output import on_terminal, out, say
from oci_systemd.core.errors import Problem
from oci_systemd.engines.plan import Change, Plan
from oci_systemd.host import commands

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from oci_systemd.host.tree import Tree

MARKS = "/run/oci-systemd"
WAITS = 3600.0  # seconds until a plan that has failed is tried again
LOCKED = 60.0  # seconds that the way back waits for another of us


class Mark(NamedTuple):
    """What is known of an engine's last plan: the `command` that is still to be given, or the `failed` plan, why and when."""

    command: str = ""
    failed: str = ""
    why: str = ""
    when: float = 0.0


@dataclass(frozen=True)
class Order:
    """How a plan for one handler of an engine is carried out.

    `command` makes the engine read its configuration, "" where it sees that by itself; `automatic`: it is given, not printed.
    `socket`: where the engine is asked whether it serves the handler then, "" where it is not; `was_there`: whether it was there
    to begin with, so that it will be again. `undo`: the plan that takes the handler away.
    """

    tree: Tree
    engine: str
    handler: str
    command: str
    automatic: bool
    socket: str = ""
    was_there: bool = False
    undo: Callable[[], Plan] = Plan

    @property
    def can_ask(self) -> bool:
        return bool(self.socket) and (self.was_there or self.tree.exists(self.socket))

    def wait(self) -> None:
        """Wait until the engine serves the handler. A Problem where it does not."""
        if self.can_ask:
            live.wait_for(self.handler, self.tree.outside(self.socket))

    def lacks(self) -> bool:
        """Whether the engine tells that it does not serve the handler. A Problem where it does not answer."""
        return self.can_ask and not live.serves(self.handler, self.tree.outside(self.socket))


def must_tell(plan: Plan, order: Order) -> bool:
    """Whether the engine is to be told of `plan`. A Problem where that cannot be done, or has just failed."""
    mark = _mark(order)
    # One of us that was killed in between has written the files, and told nobody.
    told = plan.concerns_engine or bool(mark.command) or (order.automatic and order.lacks())
    if told and order.automatic and order.command:
        commands.check_systemd(order.command, order.tree.root)
    left = mark.when + WAITS - time.time()
    if told and order.automatic and mark.failed == _digest(plan, order) and 0 < left <= WAITS:
        raise Problem(
            f"this was tried {(WAITS - left) // 60:.0f} minutes ago, and failed: {mark.why}; it is tried again after an hour, "
            f"or once {_path(order)} is gone"
        )
    return told


def finish(order: Order) -> bool:
    """Give the command that one of us was to give and has not, and forget what has failed. Whether it is left to somebody else."""
    order = replace(order, command=_mark(order).command)
    if not order.command:
        _set_mark(order, Mark())
        return False
    carry_out(Plan(), order, told=must_tell(Plan(), order))
    return not order.automatic


def show(plan: Plan) -> None:
    """Print what would be changed."""
    _say_kept(plan)
    for change in plan.changes:
        lines = unified(change.path, change.old or "", change.new or "", json=False)
        out("".join(coloured(lines) if on_terminal(sys.stdout) else lines))


def carry_out(plan: Plan, order: Order, *, told: bool) -> None:
    """Write `plan`, and tell the engine if it is to be `told`, or print how."""
    _say_kept(plan)
    tree, by_us = order.tree, told and order.automatic
    made = [folder for folder in _above(plan.changes) if not tree.exists(folder)]
    was_killed = bool(_mark(order).command)
    mark = _marked(order, Mark(command=order.command)) if by_us and order.command else []
    if plan.changes or mark:
        tree.commit([*mark, *plan.changes], plan.folders)
    for change in plan.changes:
        out(f"{'removed' if change.new is None else 'wrote'} {change.path}\n")
    if by_us:
        # Where one of us was killed, the plan is carried out already, and what takes the handler away is the way back.
        back = _back(plan, made) if plan.changes else order.undo() if was_killed else Plan()
        _tell(back, order)
    elif told and order.command:
        _set_mark(order, Mark())  # from here on it is theirs to do
        out(f"next: {order.command}\n")


def _tell(back: Plan, order: Order) -> None:
    """Tell the engine. A Problem where it does not come up as planned, and with `back` carried out."""
    try:
        if order.command:
            commands.restart(order.command, order.tree.root)
        order.wait()
    except Problem as problem:
        failed = Mark(order.command, _digest(_back(back, []), order), str(problem), time.time())
        raise Problem(f"{problem}; {_put_back(back, order, failed)}") from None
    _set_mark(order, Mark())
    if order.command:
        out(f"done: {order.command}\n")


def _put_back(back: Plan, order: Order, failed: Mark) -> str:
    """Carry `back` out, and tell the engine again; how that went, in words. What is still to be done is marked before it is."""
    if order.tree.is_this_machine:
        failed = Mark(order.command)
    try:
        order.tree.commit([*_marked(order, failed), *back.changes], back.folders, patience=LOCKED)
    except Problem as problem:
        return f"and what was written stays: {problem}"
    if not back.changes:
        return "its files stay as they are"
    try:
        if order.command:
            commands.restart(order.command, order.tree.root)
        _set_mark(order, failed._replace(command=""))
    except Problem as problem:
        return f"its files are as they were, but still: {problem}"
    return "its files are as they were, and it runs"


def _back(plan: Plan, made: list[str]) -> Plan:
    """The way back from `plan`, which has `made` folders."""
    return Plan([replace(change, old=change.new, new=change.old) for change in reversed(plan.changes)], made)


def _above(changes: Iterable[Change]) -> list[str]:
    """The folders that the files of `changes` are in, the deepest first."""
    folders = {str(folder) for change in changes for folder in PurePosixPath(change.path).parents}
    return sorted(folders, key=len, reverse=True)


def _say_kept(plan: Plan) -> None:
    for sentence in plan.kept:
        say(sentence)


# Marks


def _path(order: Order) -> str:
    return f"{MARKS}/{order.engine}.json"


def _mark(order: Order) -> Mark:
    try:
        return Mark(**json.loads(order.tree.read(_path(order)) or "{}"))
    except (ValueError, TypeError):
        return Mark()


def _marked(order: Order, mark: Mark) -> list[Change]:
    """The change that leaves `mark`, if it is one; none is no file."""
    old = order.tree.read(_path(order))
    new = json.dumps(mark._asdict()) + "\n" if any(mark) else None
    return [Change(_path(order), old, new)] if old != new else []


def _set_mark(order: Order, mark: Mark) -> None:
    if change := _marked(order, mark):
        order.tree.commit(change, [MARKS])


def _digest(plan: Plan, order: Order) -> str:
    """What tells one plan from another."""
    said = json.dumps([order.handler, *sorted((change.path, change.new or "") for change in plan.changes)])
    return hashlib.sha256(said.encode()).hexdigest()
