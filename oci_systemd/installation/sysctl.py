"""Raise a node's limit, now and with a file in /etc/sysctl.d, and restore it.

Invariant: a limit is never lowered below its earlier value, and a file that we did not write is not changed. The file has its
owner, and the earlier value of the limit.
"""

from __future__ import annotations

import re
from contextlib import suppress
from typing import TYPE_CHECKING, NamedTuple

from oci_systemd.core.errors import Problem
from oci_systemd.engines.plan import Change, Plan
from oci_systemd.host.limits import INSTANCES, place
from oci_systemd.installation.checks import ENOUGH

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from oci_systemd.host.tree import Tree
    from oci_systemd.installation.transaction import Reporter

FOLDER = "/etc/sysctl.d"
FILE = f"{FOLDER}/60-oci-systemd.conf"
TEXT = """# Written by `oci-systemd install {engine} --sysctl` for handler {handler}; `oci-systemd uninstall` takes it away.
# Before: {before}
{name} = {value}
"""
OWNER = re.compile(r"# Written by `oci-systemd install (\S+) --sysctl` for handler (\S+);")
BEFORE = re.compile(r"(?m)^# Before: (\d+)$")


class Owner(NamedTuple):
    """The engine and handler that the file was written for."""

    engine: str
    handler: str


def raise_limit(tree: Tree, owner: Owner, report: Reporter, show: Callable[[Plan], None] | None = None) -> None:
    """Raise root's inotify instances to a value that is enough for a node's systemd containers, now and after a reboot."""
    written, value = tree.read(FILE), check(tree)
    if written is None and value >= ENOUGH:
        report.line(f"{INSTANCES} is {value} already; {FILE} is not written")
        return
    before = _before(written) if written is not None else value
    text = TEXT.format(engine=owner.engine, handler=owner.handler, before=before, name=INSTANCES, value=ENOUGH)
    if _owner(written) not in (None, owner) or (written is not None and _owner(written) is None):
        report.note(f"{FILE} was not written for this handler; the file is unchanged")
        return
    if show:
        show(Plan([Change(FILE, written, text)] if written != text else []))
        return
    if written != text:
        tree.commit([Change(FILE, written, text)])
        report.line(f"wrote {FILE}")
    if value < ENOUGH:
        _set(tree, ENOUGH)
        report.line(f"{INSTANCES} is {ENOUGH} from now on; it was {value}")


def check(tree: Tree) -> int:
    """Return the limit. Raise a Problem if `tree` is not the root of a running node."""
    value = _value(tree)
    if value is None:
        raise Problem(f"{INSTANCES}: cannot read it below {tree.root}/proc; leave --sysctl out")
    return value


def take_back(tree: Tree, owner: Owner, report: Reporter, show: Callable[[Plan], None] | None = None) -> None:
    """Remove the file that was written for `owner`, and restore the limit if nobody has changed it."""
    written = tree.read(FILE)
    if written is None or _owner(written) != owner:
        return
    if show:
        show(Plan([Change(FILE, written, None)]))
        return
    tree.commit([Change(FILE, written, None)], [FOLDER])
    report.line(f"removed {FILE}")
    if (before := _before(written)) and _value(tree) == ENOUGH:
        _set(tree, before)
        report.line(f"{INSTANCES} is {before} again")


def _owner(text: str | None) -> Owner | None:
    found = OWNER.search(text or "")
    return Owner(*found.groups()) if found else None


def _before(text: str) -> int:
    found = BEFORE.search(text)
    return int(found[1]) if found else 0


def _place(tree: Tree) -> Path:
    return place(tree.outside("/proc"), INSTANCES)


def _value(tree: Tree) -> int | None:
    with suppress(OSError, ValueError):
        return int(_place(tree).read_text())
    return None


def _set(tree: Tree, value: int) -> None:
    try:
        _place(tree).write_text(f"{value}\n")
    except OSError as error:
        raise Problem(
            f"{INSTANCES}: cannot set it: {error.strerror}; {FILE} counts from the next boot on; leave --sysctl out"
        ) from None
