"""`oci-systemd status`: the containers on this node that were adjusted, by what the runtimes' own state tells.

Law: what is told stands in the runtime's `state` or in the config.json that it names, or is said to be unknown. The record
of an adjustment is an annotation, which a pod's author can write, too: where today's rules would leave the container alone,
that is said.
"""

from __future__ import annotations

import os
import shutil
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

import click

from oci_systemd.cli.columns import columns, terminal_width
from oci_systemd.cli.given import config_option, settings_from
from oci_systemd.cli.output import encoded, heading, out, safe, say, table
from oci_systemd.core.annotations import Annotations
from oci_systemd.core.container import Container, from_spec, identity
from oci_systemd.core.detect import detect
from oci_systemd.core.effects import effects
from oci_systemd.core.errors import Problem, Refused, SpecError
from oci_systemd.core.signals import ADJUSTED
from oci_systemd.engines import launcher
from oci_systemd.engines.state_roots import (
    KINDS,
    NERDCTL_NAME,
    OPTIONS,
    ROOTS,
    RUNTIME_FOLDERS,
    engine_of,
)
from oci_systemd.engines.stops import stop
from oci_systemd.host import bundle, containers, handlers
from oci_systemd.host.files import read_regular
from oci_systemd.installation.installed import STUBS, launchers

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from oci_systemd.core.effects import Effect
    from oci_systemd.core.settings import Settings
    from oci_systemd.host.containers import Entry, State, Trouble

EXAMPLES = """\b
Examples:
  oci-systemd status
  oci-systemd status --json | jq -r '.[] | select(.status == "running") | .id'
  oci-systemd status --root /run/elsewhere/runc

\b
--json prints a list of objects, null where something is not known:
  engine       containerd, crio, docker, podman, k3s (rke2 too), k0s, microk8s; none where a runtime was called by hand
  namespace, pod, container, id, status, pid
  version      what adjusted it
  reason       why it was wanted, by its config.json and today's settings
  changes      list of {what, value, note} that are in effect by its config.json, whoever set them
  stop_signal  {name, number, by}: what a stop sends, and who, "wrapper" (for SIGTERM) or "engine"; null where that is unknown
  runtime, root, uid   runc or crun, its state directory, and the user whose it is
  bundle, problem      the bundle, and why its config.json cannot be read

Exit status: 0, also where a runtime does not answer: what cannot be told is said on stderr. 2 where an option is wrong.
"""
SHORT = 12  # letters of an ID, as docker and podman show it
LAUNCHER_LIMIT = 1 << 16
MOST_CLOSED = 5  # directories that are told by name
LONGEST_CAUSE = 300  # characters of what a runtime said


@click.command(epilog=EXAMPLES)
@click.option("--json", "as_json", is_flag=True, help="Print a list of JSON objects, for machines.")
@click.option(
    "--root",
    "given",
    multiple=True,
    type=click.Path(),
    metavar="DIR",
    help="A runtime's state directory, or one above, in place of the usual ones. May be given several times.",
)
@config_option
def status(as_json: bool, given: tuple[str, ...], own_config: str | None) -> None:
    """Show this node's adjusted containers: why, what is in effect, and how they stop.

    They are found in the state of runc and crun, whichever engine called them; only root sees all.
    """
    settings = settings_from(own_config, ())
    if settings.problem:
        say(settings.problem)
    entries, closed = _found(given)
    states, troubles = containers.ask(entries, _Runtimes().path)
    adjusted = (Row(state, settings) for state in states if state.annotations.get(ADJUSTED))
    rows = sorted(adjusted, key=Row.order)
    if as_json:
        out(encoded([row.document() for row in rows]))
    else:
        out(_text(rows) if rows else _none(len(states), all_seen=not closed and not troubles))
    _tell(closed, troubles)


def _found(given: Iterable[str]) -> tuple[list[Entry], list[str]]:
    """The containers' directories, and the directories that may not be looked into."""
    named = [str(Path(path).absolute()) for path in given]
    for path in named:
        if not Path(path).is_dir():
            raise Problem(f"--root {path!r} is no directory; name the one that the runtime is given as --root")
    below = [f"{path}/{name}" for path in named for name in ("", "*")]
    usual = (*ROOTS, *containers.moved_roots(OPTIONS))
    roots = containers.roots(below or usual)
    entries, closed = containers.entries(roots.paths, KINDS)
    return entries, sorted({*roots.closed, *closed})


class Row:
    """One container that was adjusted, as it is told. `problem` is why its config.json says nothing."""

    __slots__ = ("container", "effects", "problem", "reason", "state", "stop")

    def __init__(self, state: State, settings: Settings) -> None:
        self.state = state
        self.container = _known(state)
        self.stop = stop(self.engine, state.annotations, front=_front(state))
        self.reason: str | None = None
        self.effects: list[Effect] | None = None
        self.problem: str | None = None
        try:
            self.container = _described(state)
        except Problem as problem:
            self.problem = str(problem)
            return
        self.reason = _reason(self.container, settings)
        self.effects = effects(self.container, settings)

    def order(self) -> tuple[str, ...]:
        return self.engine, self.namespace, self.pod, self.name, self.state.entry.id

    @property
    def engine(self) -> str:
        return engine_of(self.state.annotations, self.state.bundle)

    @property
    def namespace(self) -> str:
        return self.container.pod_namespace

    @property
    def pod(self) -> str:
        return self.container.pod_name

    @property
    def name(self) -> str:
        return self.container.name or self.container.annotations.get(NERDCTL_NAME, "")

    def document(self) -> dict[str, object]:
        state, entry = self.state, self.state.entry
        return {
            "engine": self.engine,
            "namespace": self.namespace or None,
            "pod": self.pod or None,
            "container": self.name or None,
            "id": entry.id,
            "status": state.status,
            "pid": state.pid or None,
            "version": state.annotations[ADJUSTED],
            "reason": self.reason,
            "changes": None if self.effects is None else [_document(effect) for effect in self.effects],
            "stop_signal": {"name": self.stop.name, "number": self.stop.number, "by": self.stop.by},
            "runtime": entry.kind,
            "root": entry.root,
            "uid": entry.uid,
            "bundle": state.bundle or None,
            "problem": self.problem,
        }


def _front(state: State) -> bool | None:
    """Whether the wrapper is the container's handler; None where nothing tells."""
    called = handlers.program(state)
    return None if called is None else launcher.is_ours(called)


def _known(state: State) -> Container:
    """What is known of a container whose config.json cannot be read."""
    name, _, pod, namespace = identity(state.annotations)
    return Container(id=state.entry.id, name=name, pod_name=pod, pod_namespace=namespace, annotations=state.annotations)


def _described(state: State) -> Container:
    """The container by its config.json; a Problem where that cannot be used."""
    if not state.bundle:
        raise Problem(f"the {state.entry.kind} state names no bundle")
    config = bundle.load(f"{state.bundle}/config.json")
    try:
        return from_spec(config.spec, state.entry.id)
    except SpecError as problem:
        raise bundle.unusable(config.path, problem) from None


def _reason(container: Container, settings: Settings) -> str:
    """Why the container is wanted, by its own words and today's settings; the root file system is not looked at again."""
    try:
        verdict = detect(container, Annotations(container), settings, None)
    except Refused as problem:
        return f"by its config.json it would be refused today: {problem}"
    return verdict.reason if verdict.wanted else f"by today's rules it would be left alone: {verdict.reason}"


def _document(effect: Effect) -> dict[str, str]:
    return {"what": effect.what, "value": effect.value, "note": effect.note}


# How people read it: the line of each container, and what stands below it.
COLUMNS: dict[str, Callable[[Row], str]] = {
    "ENGINE": lambda row: row.engine,
    "USER": lambda row: str(row.state.entry.uid or ""),
    "POD": lambda row: row.container.pod,
    "CONTAINER": lambda row: row.name,
    "ID": lambda row: row.state.entry.id[:SHORT],
    "STATUS": lambda row: row.state.status,
    "VERSION": lambda row: row.state.annotations[ADJUSTED],
}
DETAILS: dict[str, Callable[[Row], str]] = {
    "why": lambda row: row.reason or f"unknown: {row.problem}",
    "in effect": lambda row: "unknown" if row.effects is None else "; ".join(_phrases(row.effects)) or "nothing",
    "stop signal": lambda row: row.stop.words,
}
PHRASES = {
    "cgroup": "cgroup writable",
    "cgroup.max.descendants": "at most {value} cgroups",
    "memory.oom.group": "memory.oom.group={value}",
    "container": "container={value}",
    "container_uuid": "container_uuid={value}",
    "selinux": "SELinux type {value}",
    "apparmor": "AppArmor profile {value}",
    "KillSignal": "KillSignal={value} of its scope",
}


def _text(rows: list[Row]) -> str:
    cells = [[cell(row) for cell in COLUMNS.values()] for row in rows]
    head, *lines = columns([*COLUMNS], cells, terminal_width())
    parts = [heading(line) for line in head]
    for row, shown in zip(rows, lines, strict=True):
        parts += [f"{line}\n" for line in shown]
        parts.append(table((title, detail(row)) for title, detail in DETAILS.items()))
    return "".join(parts)


def _phrases(found: list[Effect]) -> list[str]:
    """Each effect in words; all tmpfs, the first of which has the place, in one."""
    places = [_noted(effect.value, effect.note) for effect in found if effect.what == "tmpfs"]
    phrases = dict.fromkeys(
        f"tmpfs at {', '.join(places)}"
        if effect.what == "tmpfs"
        else _noted(PHRASES[effect.what].format(value=effect.value), effect.note)
        for effect in found
    )
    return [*phrases]


def _noted(text: str, note: str) -> str:
    return f"{text} ({note})" if note else text


def _none(total: int, *, all_seen: bool) -> str:
    where = "here" if all_seen else "that can be seen"
    return f"of {total} container{'s' if total != 1 else ''} {where} none was adjusted\n"


def _tell(closed: list[str], troubles: list[Trouble]) -> None:
    """One sentence on stderr for what could not be looked at, and one for each cause of trouble with a runtime."""
    if closed:
        more = f" and {len(closed) - MOST_CLOSED} more" if len(closed) > MOST_CLOSED else ""
        say(f"{', '.join(closed[:MOST_CLOSED])}{more} may not be looked into; root sees all containers")
    groups: dict[tuple[str, str], list[str]] = {}
    for entry, cause in troubles:
        groups.setdefault((cause, entry.root), []).append(entry.id)
    for (cause, root), ids in groups.items():
        which = f"{ids[0][:SHORT]} is" if len(ids) == 1 else f"{len(ids)} containers are"
        say(f"{safe(cause, LONGEST_CAUSE)}; {which} not shown, in {root}")


class _Runtimes:
    """Which program answers for a kind of runtime: the launcher's own where its name fits, else one on PATH or an engine's."""

    def __init__(self) -> None:
        named = os.environ.get("OCI_SYSTEMD_RUNTIME", "")
        self.own = [named, *_behind_launchers()] if named else _behind_launchers()
        self.search = os.pathsep.join((os.environ.get("PATH", ""), *RUNTIME_FOLDERS))
        self.path = cache(self._path)

    def _path(self, kind: str) -> str:
        fitting = [name for name in self.own if Path(name).name.startswith(kind)]
        found = (shutil.which(name, path=self.search) for name in (*fitting, kind))
        return next((program for program in found if program), "")


def _behind_launchers() -> list[str]:
    """The real runtimes that the installed launcher, and then its stubs, name."""
    first = Path(next(filter(os.path.exists, launchers()), shutil.which(launcher.NAME) or "/"))
    stubs = (path for folder in (first.parent, Path(STUBS)) for path in sorted(folder.glob(f"{launcher.NAME}.*")))
    return [name for path in (first, *stubs) if (name := _named(path))]


def _named(path: Path) -> str:
    try:
        return launcher.runtime_of(read_regular(str(path), LAUNCHER_LIMIT)[0].decode(errors="replace"))
    except Problem:
        return ""
