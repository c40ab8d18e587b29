"""`oci-systemd status`: list the adjusted containers on this node, from the runtimes' state.

Law: every value comes from the runtime's `state` or from its config.json, or is shown as unknown. The record of an adjustment is an
annotation, which a pod's author can write too: if today's rules would leave the container alone, the output says so.
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
--json prints a list of objects; unknown values are null:
  engine       containerd, crio, docker, podman, k3s (also rke2), k0s, microk8s; none if the runtime was called by hand
  namespace, pod, container, id, status, pid
  version      version of oci-systemd that adjusted it
  reason       why it is wanted, by its config.json and today's settings
  changes      list of {what, value, note}: values in effect by its config.json, whoever set them
  stop_signal  {name, number, by}: the signal of a stop, sent by "wrapper" (in place of SIGTERM) or "engine"; null if unknown
  runtime, root, uid   runc or crun, its state directory, and the directory's owner
  bundle, problem      the bundle, and why its config.json cannot be read

Exit status: 0, also if a runtime does not answer (stderr names its containers); 2 if an option is invalid.
"""
SHORT = 12  # letters of an ID, as in docker and podman
LAUNCHER_LIMIT = 1 << 16
MOST_CLOSED = 5  # unreadable directories that are listed
LONGEST_CAUSE = 300  # characters of a runtime's message


@click.command(epilog=EXAMPLES)
@click.option("--json", "as_json", is_flag=True, help="Print a list of JSON objects.")
@click.option(
    "--root",
    "given",
    multiple=True,
    type=click.Path(),
    metavar="DIR",
    help="Look in this state directory of a runtime, or one level below, instead of the usual ones. May be repeated.",
)
@config_option
def status(as_json: bool, given: tuple[str, ...], own_config: str | None) -> None:
    """List this node's adjusted containers: the reason, the changes in effect, and the stop signal.

    They are read from the state of runc and crun, for every engine. Only root sees all containers.
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
    """Return the containers' state directories, and the directories that are not readable."""
    named = [str(Path(path).absolute()) for path in given]
    for path in named:
        if not Path(path).is_dir():
            raise Problem(f"--root {path!r}: not a directory; use the value of the runtime's --root")
    below = [f"{path}/{name}" for path in named for name in ("", "*")]
    usual = (*ROOTS, *containers.moved_roots(OPTIONS))
    roots = containers.roots(below or usual)
    entries, closed = containers.entries(roots.paths, KINDS)
    return entries, sorted({*roots.closed, *closed})


class Row:
    """One adjusted container in the output. `problem` tells why its config.json cannot be read."""

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
    """Return whether the container's runtime is the wrapper; None if unknown."""
    called = handlers.program(state)
    return None if called is None else launcher.is_ours(called)


def _known(state: State) -> Container:
    """Return the known facts about a container whose config.json cannot be read."""
    name, _, pod, namespace = identity(state.annotations)
    return Container(id=state.entry.id, name=name, pod_name=pod, pod_namespace=namespace, annotations=state.annotations)


def _described(state: State) -> Container:
    """Return the container in its config.json. Raise a Problem if that cannot be read."""
    if not state.bundle:
        raise Problem(f"{state.entry.kind} state: no bundle")
    config = bundle.load(f"{state.bundle}/config.json")
    try:
        return from_spec(config.spec, state.entry.id)
    except SpecError as problem:
        raise bundle.unusable(config.path, problem) from None


def _reason(container: Container, settings: Settings) -> str:
    """Return why the container is wanted, by its config.json and today's settings. The root file system is not read again."""
    try:
        verdict = detect(container, Annotations(container), settings, None)
    except Refused as problem:
        return f"today it would be refused: {problem}"
    return verdict.reason if verdict.wanted else f"today it would be left alone: {verdict.reason}"


def _document(effect: Effect) -> dict[str, str]:
    return {"what": effect.what, "value": effect.value, "note": effect.note}


# For people: the line of each container, and the details below it.
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
    "KillSignal": "KillSignal={value} on its scope",
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
    """Return each effect in words; all tmpfs together, at the position of the first."""
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
    where = "" if all_seen else " readable"
    return f"no adjusted containers ({total}{where} container{'s' if total != 1 else ''} on this node)\n"


def _tell(closed: list[str], troubles: list[Trouble]) -> None:
    """Print one sentence to stderr for unreadable directories, and one for each error of a runtime."""
    if closed:
        more = f" and {len(closed) - MOST_CLOSED} more" if len(closed) > MOST_CLOSED else ""
        say(f"{', '.join(closed[:MOST_CLOSED])}{more}: permission denied; run as root to see all containers")
    groups: dict[tuple[str, str], list[str]] = {}
    for entry, cause in troubles:
        groups.setdefault((cause, entry.root), []).append(entry.id)
    for (cause, root), ids in groups.items():
        which = f"{ids[0][:SHORT]} is" if len(ids) == 1 else f"{len(ids)} containers are"
        say(f"{safe(cause, LONGEST_CAUSE)}; {which} not shown (in {root})")


class _Runtimes:
    """The program for a kind of runtime: the launcher's own if its name matches, else one on PATH, else an engine's."""

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
    """Return the real runtimes of the installed launcher, and then of its stubs."""
    first = Path(next(filter(os.path.exists, launchers()), shutil.which(launcher.NAME) or "/"))
    stubs = (path for folder in (first.parent, Path(STUBS)) for path in sorted(folder.glob(f"{launcher.NAME}.*")))
    return [name for path in (first, *stubs) if (name := _named(path))]


def _named(path: Path) -> str:
    try:
        return launcher.runtime_of(read_regular(str(path), LAUNCHER_LIMIT)[0].decode(errors="replace"))
    except Problem:
        return ""
