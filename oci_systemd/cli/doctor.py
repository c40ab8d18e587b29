"""`oci-systemd doctor`: whether all is in order on this node, and what to do where it is not.

Law: it looks, and changes nothing. The facts are gathered here; what they mean is `engines/checks`.
"""

from __future__ import annotations

import os
import tomllib
from contextlib import suppress
from dataclasses import replace
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING

import click
import orjson

from oci_systemd.cli.columns import columns, terminal_width
from oci_systemd.cli.installed import launchers
from oci_systemd.cli.nri import is_connected
from oci_systemd.cli.output import encoded, out
from oci_systemd.core.errors import Problem
from oci_systemd.engines import checks, containerd, crio, docker
from oci_systemd.engines.checks import FAIL, PASS, WARN, Finding, Found, Launcher, Machine
from oci_systemd.engines.engines import ENGINES, command_of
from oci_systemd.engines.launcher import paths_of
from oci_systemd.engines.place import PROGRAMS
from oci_systemd.host import commands, machine, settings_file
from oci_systemd.host.tree import Tree

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from oci_systemd.engines.place import Place

COLOURS = {PASS: "green", WARN: "yellow", FAIL: "red"}
HOOKS = ("/usr/share/containers/oci/hooks.d", "/etc/containers/oci/hooks.d")
PROCESSES = {"containerd": "containerd", "crio": "crio", "docker": "dockerd"}
EXAMPLES = """\b
Examples:
  oci-systemd doctor
  oci-systemd doctor --json | jq -r '.[] | select(.status == "fail") | .remedy'

Exit status: 0, or 1 where a check fails.
"""


@click.command(epilog=EXAMPLES)
@click.option("--json", "as_json", is_flag=True, help="Print a list of {subject, status, said, remedy}.")
def doctor(as_json: bool) -> None:
    """Check this node, and say what to do.

    The kernel and its cgroups, SELinux, our settings, the wrapper and its runtime, and of each engine that is here the
    configuration as it is in effect. Nothing is changed.
    """
    tree = Tree()
    found = list(_engines(tree))
    plugin = is_connected()
    findings = [
        *checks.machine(_machine()),
        *checks.launchers(_launchers(tree, found), plugin=plugin),
        *checks.engines(found, plugin=plugin),
        *checks.hooks(_hooks(tree)),
    ]
    out(_json(findings) if as_json else _table(findings))
    click.get_current_context().exit(int(any(finding.status == FAIL for finding in findings)))


def _json(findings: Iterable[Finding]) -> bytes:
    return encoded([{"subject": f.subject, "status": f.status, "said": f.said, "remedy": f.remedy} for f in findings])


def _table(findings: list[Finding]) -> str:
    rows = [(f.status, f.subject, f"{f.said}: {f.remedy}" if f.remedy else f.said) for f in findings]
    lines = columns(("", "", ""), rows, terminal_width())[1:]
    shown = (
        click.style(line[:4], fg=COLOURS[f.status]) + line[4:] + "\n"
        for f, folded in zip(findings, lines, strict=True)
        for line in folded
    )
    return "".join(shown)


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
        inotify=int(_text(Path("/proc/sys/fs/inotify/max_user_instances")) or 0),
    )


def _text(path: Path) -> str:
    with suppress(OSError):
        return path.read_text().strip()
    return ""


# The wrapper


def _launchers(tree: Tree, found: Iterable[Found]) -> Iterator[Launcher]:
    """The launcher beside this package, or where it usually is, and each program that an engine calls."""
    named = [program for each in found for program in each.written.values()]
    installed = [path for path in launchers() if tree.is_program(path)]
    seen: set[Path] = set()
    for path in [*installed, *named]:
        if tree.outside(path) not in seen:
            seen.add(tree.outside(path))
            yield _launcher(tree, path)


def _launcher(tree: Tree, path: str) -> Launcher:
    text = tree.read(path) or ""
    sourced = next((line[2:] for line in text.splitlines() if line.startswith(". /")), "")
    base = tree.read(sourced) or "" if sourced else text
    runtime, *own = paths_of(text)
    needed = [runtime, *own, *(paths_of(base)[1:] if sourced else ())]
    said = commands.output([runtime, "--version"]) or "" if runtime else ""
    return Launcher(
        path=path,
        executable=tree.is_program(path),
        missing=tuple(each for each in needed if each and not tree.exists(each)),
        runtime=runtime,
        name=said.partition(" ")[0],  # runc or crun, as it calls itself
        version=commands.version_in(said),
        frozen=_is_frozen(base),
    )


# Prints "whole" where each file that is given is as packaging/install/freeze.py made it with this interpreter.
WHOLE = """import _imp, sys
magic = sys.modules['_frozen_importlib_external'].MAGIC_NUMBER
texts = [open(name, 'rb').read() for name in sys.argv[1:]]
print('whole' if all(text[:12] == magic + _imp.source_hash(0, text[12:]) for text in texts) else '')"""


def _is_frozen(text: str) -> bool:
    """Whether the files of modules that the launcher loads are whole, and of its interpreter."""
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
                yield _engine(tree, name, place)


def _engine(tree: Tree, name: str, place: Place) -> Found:
    program = tree.program(place.program, PROGRAMS)
    version = commands.version(program) if program else ""
    found = Found(name, place.title, version, restart=command_of(tree, place.restart))
    try:
        written = ENGINES[name].wrapped(tree, place.main)
    except Problem as problem:
        return replace(found, problem=str(problem))
    found = replace(found, written=written, handlers=written, stale=_is_stale(name, place))
    if name == "docker":
        return replace(found, handlers=_in_docker(written))
    dump = _dump(program, place.main) if name == "containerd" and program else None
    return _with_effect(found, dump) if dump else found


def _dump(program: str, main: str) -> containerd.Loaded | None:
    """What containerd makes of its files."""
    text = commands.output([program, "--config", main, "config", "dump"])
    with suppress(tomllib.TOMLDecodeError):
        return containerd.Loaded(main, tomllib.loads(text)) if text else None
    return None


def _with_effect(found: Found, dump: containerd.Loaded) -> Found:
    tables = containerd.handlers([dump])
    runc = {name: table for name, table in tables.items() if table.get("runtime_type") == containerd.RUNC}
    return replace(
        found,
        handlers=containerd.wrappers(tables),
        drivers={name: bool((table.get("options") or {}).get("SystemdCgroup")) for name, table in runc.items()},
        passed={name: table.get("pod_annotations") or () for name, table in runc.items()},
        nri=not dump.get("plugins", "io.containerd.nri.v1.nri", "disable"),
    )


def _in_docker(written: Mapping[str, str]) -> Mapping[str, str]:
    """What the running Docker has of it; all, where it does not tell."""
    said = commands.output(["docker", "info", "--format", "{{json .Runtimes}}"])
    with suppress(orjson.JSONDecodeError, AttributeError):
        return docker.programs(orjson.loads(said)) if said else written
    return written


def _is_stale(name: str, place: Place) -> bool:
    """Whether the engine was started before its files were last changed."""
    began = _began(PROCESSES.get(name, ""))
    folders = [Path(place.main), *Path(place.main).parent.glob("*.d/*oci-systemd*")]
    changed = [path.stat().st_mtime for path in folders if path.is_file()]
    return began is not None and any(time > began for time in changed)


def _began(command: str) -> float | None:
    """When the first process of that name began, in seconds since the epoch; None where there is none."""
    for process in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):
            if command and (process / "comm").read_text().strip() == command:
                return process.stat().st_ctime
    return None


def _hooks(tree: Tree) -> Iterator[str]:
    """The hook files of stage precreate in the directories that CRI-O and buildah read."""
    given = crio.merged(tree, crio.PLACES[0].main).get("hooks_dir") or []
    for file in chain.from_iterable(tree.glob(f"{folder}/*.json") for folder in dict.fromkeys([*HOOKS, *given])):
        with suppress(Problem):
            if '"precreate"' in (tree.read(file) or ""):
                yield file
