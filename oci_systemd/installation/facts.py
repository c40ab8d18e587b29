"""Collect the facts about a node for `checks`: the kernel, the settings, the launchers, and each engine's configuration in effect.

Invariant: nothing is changed. Missing and unreadable things are reported as such.
"""

from __future__ import annotations

import os
import time
from contextlib import suppress
from dataclasses import replace
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING

from h2.exceptions import H2Error

from oci_systemd.core.errors import Problem
from oci_systemd.engines import containerd_files, crio
from oci_systemd.engines.engines import ENGINES, command_of
from oci_systemd.engines.launcher import paths_of
from oci_systemd.engines.place import PROGRAMS
from oci_systemd.host import commands, machine, process, settings_file
from oci_systemd.host.limits import INSTANCES, limits
from oci_systemd.installation import effective, installed, running
from oci_systemd.installation.checks import EACH, NODE, Facts, Found, Launcher, Machine

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from oci_systemd.engines.place import Place
    from oci_systemd.host.tree import Tree
    from oci_systemd.installation.effective import Answer

HOOKS = ("/usr/share/containers/oci/hooks.d", "/etc/containers/oci/hooks.d")
SLACK = 1.0  # seconds: the kernel's boot time has whole seconds (/proc/stat, btime)


def gather(tree: Tree, *, plugin: bool) -> Facts:
    """Return the facts about this machine. `plugin`: whether our NRI plugin is connected."""
    engines = list(_engines(tree))
    return Facts(_machine(), list(launchers(tree, engines)), engines, plugin, list(hooks(tree)), installed.way(tree))


# The machine


def _machine() -> Machine:
    host = machine.this_host()
    settings = settings_file.load_or_default(settings_file.chosen(os.environb))
    selinux = Path("/sys/fs/selinux")
    mode = {"1": "enforcing", "0": "permissive"}.get(_text(selinux / "enforce"), "")
    return Machine(
        kernel=os.uname().release,
        cgroup_v2=host.cgroup_v2,
        nsdelegate=host.nsdelegate,
        controllers=frozenset(_text(Path("/sys/fs/cgroup/cgroup.controllers")).split()),
        selinux=mode,
        selinux_init=host.selinux_init,
        manage_cgroup=_text(selinux / "booleans/container_manage_cgroup").startswith("1"),
        require_nsdelegate=bool(settings.values["cgroup.require_nsdelegate"]),
        settings=settings.problem.sentences if settings.problem else (),
        limits=tuple(limits(Path("/proc"), EACH[INSTANCES], NODE)),
    )


def _text(path: Path) -> str:
    with suppress(OSError):
        return path.read_text().strip()
    return ""


# The wrapper


def launchers(tree: Tree, found: Iterable[Found]) -> Iterator[Launcher]:
    """Yield the launcher of this package, or those in the usual places, and each program that an engine calls."""
    named = [program for each in found for program in each.written.values()]
    there = [path for path in installed.launchers() if tree.is_program(path)]
    called = {tree.outside(path) for path in named}
    seen: set[Path] = set()
    for path in [*there, *named]:
        if tree.outside(path) not in seen:
            seen.add(tree.outside(path))
            yield _launcher(tree, path, is_called=tree.outside(path) in called)


def _launcher(tree: Tree, path: str, *, is_called: bool) -> Launcher:
    text = tree.read(path) or ""
    sourced = next((line[2:] for line in text.splitlines() if line.startswith(". /")), "")
    base = tree.read(sourced) or "" if sourced else text
    runtime, *own = paths_of(text)
    instead = next(
        (each for name in ("runc", "crun") if (each := tree.program(name, PROGRAMS)) and each != runtime), ""
    )
    can_wait = (
        bool(instead) and not is_called and not tree.exists(runtime)
    )  # a package sets runc, but the node may have crun
    needed = [*([] if can_wait else [runtime]), *own, *(paths_of(base)[1:] if sourced else ())]
    said = commands.output([runtime, "--version"]) or "" if runtime else ""
    return Launcher(
        path=path,
        executable=tree.is_program(path),
        missing=tuple(each for each in needed if each and not tree.exists(each)),
        runtime=runtime,
        name=said.partition(" ")[0],  # runc or crun, as it calls itself
        version=commands.version_in(said),
        frozen=_is_frozen(base),
        is_called=is_called,
        instead=instead,
    )


# Prints "whole" if each given file is unchanged since packaging/install/freeze.py made it with this interpreter.
WHOLE = """import _imp, sys
magic = sys.modules['_frozen_importlib_external'].MAGIC_NUMBER
texts = [open(name, 'rb').read() for name in sys.argv[1:]]
print('whole' if all(text[:12] == magic + _imp.source_hash(0, text[12:]) for text in texts) else '')"""


def _is_frozen(text: str) -> bool:
    """Return whether the launcher's files of modules are undamaged, and made for its interpreter."""
    _, *paths = paths_of(text)
    if len(paths) < 2:
        return True
    python, lib = paths[0], paths[1]
    said = commands.output([python, "-ISc", WHOLE, f"{lib}/frozen-create", f"{lib}/frozen-kill"])
    return (said or "").strip() == "whole"


# The engines


def _engines(tree: Tree) -> Iterator[Found]:
    for name, module in ENGINES.items():
        for place in module.PLACES:
            if any(tree.exists(sign) for sign in place.signs):
                yield engine(tree, name, place)


def engine(tree: Tree, name: str, place: Place) -> Found:
    """Return the facts about an engine: from its files, from its program, and from the running engine."""
    program = tree.program(place.program, PROGRAMS)
    version = commands.version(program, tree.root) if program else ""
    found = Found(name, place.title, version, restart=command_of(tree, place.restart))
    try:
        written = ENGINES[name].wrapped(tree, place.main)
        said = effective.ask(name, tree, tree, place)
    except Problem as problem:
        return replace(found, problem=str(problem))
    if said.refused and written:
        return replace(found, written=written, problem=f"{said.asked} refuses its files: {said.refused}")
    handlers = written if said.refused else said.ours
    found = replace(found, written=written, handlers=handlers, source=said.source, stale=_is_stale(tree, name, place))
    return _as_it_runs(tree, _detailed(found, said), place)


def _detailed(found: Found, said: Answer) -> Found:
    """Return `found` with the facts in a dump of containerd's configuration."""
    if not said.details or not said.asked:
        return found
    tables = said.details.handlers
    runc = {name: table for name, table in tables.items() if table.get("runtime_type") == containerd_files.RUNC}
    return replace(
        found,
        drivers={name: bool(containerd_files.option(table, "SystemdCgroup")) for name, table in runc.items()},
        passed={name: table.get("pod_annotations") or () for name, table in runc.items()},
        default=said.default,
        nri=not said.details.files[0].get("plugins", "io.containerd.nri.v1.nri", "disable"),
    )


def _as_it_runs(tree: Tree, found: Found, place: Place) -> Found:
    """Return `found` with the facts from the running engine."""
    if not place.socket:
        return found
    try:
        return replace(found, is_running=True, served=running.handlers(found.engine, tree.outside(place.socket)))
    except PermissionError:
        return found
    except (OSError, H2Error):
        return replace(found, is_running=False)


def _is_stale(tree: Tree, name: str, place: Place) -> bool:
    """Return whether the files have changed since the engine last read them. A reload counts if the engine then adds new handlers
    (Docker)."""
    command = command_of(tree, place.restart)
    read = last_read(command.split()[-1], reloads=" reload " in command) if command and tree.is_this_machine else None
    main = Path(place.main)
    # k3s writes its main file itself, after its start, from templates.
    whole = [*main.parent.glob("*.tmpl")] if place.main.endswith(containerd_files.RENDERED) else [main]
    files = [*whole, *main.parent.glob("*.d/*oci-systemd*"), *Path(f"{main}.d").glob("*oci-systemd*")]
    changed = [path.stat().st_mtime for path in files if path.is_file()]
    return read is not None and any(when > read + SLACK for when in changed)


def last_read(unit: str, *, reloads: bool) -> float | None:
    """Return when the main process of `unit` was started or reloaded, in seconds since the epoch; None if it does not run."""
    said = commands.output(["systemctl", "show", "--property=MainPID,StateChangeTimestampMonotonic", unit]) or ""
    values = dict(line.partition("=")[::2] for line in said.splitlines())
    began = began_at(values.get("MainPID", ""))
    changed = values.get("StateChangeTimestampMonotonic", "")
    if began is None or not reloads or not changed.isdigit():
        return began
    return max(began, time.time() - time.monotonic() + int(changed) / 1e6)


def began_at(pid: str) -> float | None:
    """Return the start time of a process, in seconds since the epoch: the boot time plus field 22 of its stat (proc(5)). None if
    there is no such process."""
    ticks = process.start(int(pid)) if pid.isdigit() and int(pid) else None
    boot = next((line.split()[1] for line in _text(Path("/proc/stat")).splitlines() if line.startswith("btime ")), "")
    return None if ticks is None or not boot else int(boot) + ticks / os.sysconf("SC_CLK_TCK")


# Hooks


def hooks(tree: Tree) -> Iterator[str]:
    """Yield the hook files of stage precreate in the directories that CRI-O and buildah read."""
    given = crio.merged(tree, crio.PLACES[0].main).get("hooks_dir") or []
    for file in chain.from_iterable(tree.glob(f"{folder}/*.json") for folder in dict.fromkeys([*HOOKS, *given])):
        with suppress(Problem):
            if '"precreate"' in (tree.read(file) or ""):
                yield file
