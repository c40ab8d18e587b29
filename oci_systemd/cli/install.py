"""`oci-systemd install` and `uninstall`: the wrapper in an engine's configuration, and out of it again."""

from __future__ import annotations

import sys
from dataclasses import replace
from functools import partial
from pathlib import PurePosixPath
from typing import TYPE_CHECKING

import click

from oci_systemd.cli import installed, live
from oci_systemd.cli.diff import coloured, unified
from oci_systemd.cli.output import on_terminal, out, say
from oci_systemd.core.errors import Problem
from oci_systemd.core.paths import clean, is_at_or_below
from oci_systemd.engines import plan as plans
from oci_systemd.engines import record
from oci_systemd.engines.engines import ENGINES, Engine, command_of
from oci_systemd.engines.launcher import is_ours, programs_in, stub
from oci_systemd.engines.place import PROGRAMS, Place, find
from oci_systemd.engines.plan import Change, Edit, Overlay, Plan
from oci_systemd.engines.state_roots import BUNDLES_OF_SHIMS
from oci_systemd.engines.wanted import Wanted
from oci_systemd.host import commands, in_use, kubernetes, versions
from oci_systemd.host.tree import Tree

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

FEW = 3  # IDs that a sentence names

INSTALL_EXAMPLES = """\b
Examples:
  oci-systemd install --dry-run containerd      what would be written
  oci-systemd install containerd                then restart it, and name the handler in a RuntimeClass
  oci-systemd install docker --default          every container of Docker comes by the wrapper
  oci-systemd install podman --hook --runtime crun
"""
UNINSTALL_EXAMPLES = """\b
Examples:
  oci-systemd uninstall --dry-run containerd    what would be taken back
  oci-systemd uninstall containerd
"""


def engine_options(command: Callable[..., None]) -> Callable[..., None]:
    """The argument and the options that both commands have."""
    for decorate in (
        click.option(
            "--restart",
            type=click.Choice(("none", "auto")),
            default="none",
            show_default=True,
            help="Make the engine read its configuration, where that changed; none prints the command.",
        ),
        click.option("--dry-run", is_flag=True, help="Change nothing; print each file's change as a diff."),
        click.option("--root", default="/", metavar="DIR", type=click.Path(), help="Another root file system."),
        click.option("--handler", default="systemd", show_default=True, metavar="NAME", help="The handler's name."),
        click.option("--node", default="", metavar="NAME", help="In a pod: label this node of the cluster, too."),
        click.argument("engine", type=click.Choice([*ENGINES])),
    ):
        command = decorate(command)
    return command


@click.command(epilog=INSTALL_EXAMPLES)
@engine_options
@click.option(
    "--runtime",
    default="",
    metavar="runc|crun|PATH",
    help="The real runtime behind the wrapper (default: the engine's own, else the wrapper's).",
)
@click.option("--default", "as_default", is_flag=True, help="Make it the engine's default runtime.")
@click.option("--hook", is_flag=True, help="podman: name our hooks' folder, too.")
@click.option("--config", default="", metavar="FILE", help="The engine's configuration file, where it is not found.")
@click.option(
    "--launcher", default="", metavar="PATH", help="The installed oci-systemd-runtime, where it is not found."
)
def install(
    engine: str, handler: str, root: str, dry_run: bool, restart: str, node: str, runtime: str, as_default: bool,
    hook: bool, config: str, launcher: str,
) -> None:  # fmt: skip
    """Make the wrapper a runtime of an engine.

    That is a handler of containerd or CRI-O, which a RuntimeClass names, or a runtime of Docker or podman. What is there
    stays: comments, order, other runtimes. Once more it changes only what is wanted differently: without --default, for one,
    ours is the default no longer. `uninstall` takes back what this wrote.

    From a self-contained tree, which needs nothing of its host, it first puts that into the root, and makes this version the
    one that is called; versions that nothing calls any more go.
    """
    if hook and engine != "podman":
        raise Problem(f"--hook is podman's; {engine} takes the runtime alone")
    tree = Tree(root)
    module = ENGINES[engine]
    place = find(tree, engine, module.PLACES, _full_path("--config", config))
    called = installed.launcher(tree, _full_path("--launcher", launcher))
    without = Overlay(tree, plans.uninstall(engine, handler, tree).changes)
    runtime = _full_path("--runtime", runtime) if "/" in runtime else runtime
    real, binary, more = _behind(tree, engine, handler, called, place, runtime or _base_runtime(module, without, place))
    wanted = Wanted(handler, binary, real, as_default, _hooks(called) if hook else "")
    version = commands.version(_program(tree, place), tree.root) if engine == "containerd" else ""
    plan = plans.install(
        engine,
        handler,
        tree,
        lambda base: [*more, *module.edits(base, place.main, wanted, version)],
        restart=command_of(tree, place.removal or place.restart),
    )
    if not dry_run:
        _check_unused(tree, engine, [change.path for change in plan.changes if change.new is None], "")
        _bring(tree)
    needed = place.removal if plan.takes_back and place.removal else place.restart
    asked = [tree.outside(place.socket)] if place.socket and tree.exists(place.socket) else []
    # One of us that was stopped in between has written the files, and told nobody.
    stale = restart == "auto" and not dry_run and any(live.lacks(handler, each) for each in asked)
    checks = [partial(live.wait_for, handler, each) for each in asked]
    _carry_out(tree, plan, command_of(tree, needed), dry_run=dry_run, restart=restart, stale=stale, checks=checks)
    if not plan.changes and not stale:
        out(f"{engine} has the handler {handler} already; nothing to do\n")
    if node and not dry_run:
        _label(node, handler)


@click.command(epilog=UNINSTALL_EXAMPLES)
@engine_options
@click.option("--force", is_flag=True, help="Even where containers of the handler run.")
def uninstall(engine: str, handler: str, root: str, dry_run: bool, restart: str, node: str, force: bool) -> None:
    """Take back what install wrote, and nothing else.

    Containers of the handler should be gone first: engines call the wrapper again to stop them.
    """
    tree = Tree(root)
    if node and not dry_run:  # no pod comes any more, and those that are there may go
        _label(node, None)
    _uninstall(tree, engine, handler, dry_run=dry_run, restart=restart, force=force)
    if not dry_run:
        _take_away(tree)


def _uninstall(tree: Tree, engine: str, handler: str, *, dry_run: bool, restart: str, force: bool) -> None:
    known = record.read(tree.read(record.path(engine)), engine)
    if handler not in known.handlers:
        others = f"; there is {', '.join(known.handlers)}" if known.handlers else ""
        out(f"no handler {handler} of ours is installed in {engine}{others}; nothing to do\n")
        return
    if not force and not dry_run:
        programs = [program for entry in known.of(handler) for program in programs_in(entry.now)]
        _check_unused(tree, engine, programs, ", or use --force")
    plan = plans.uninstall(engine, handler, tree)
    _carry_out(tree, plan, known.restart, dry_run=dry_run, restart=restart)


def _bring(tree: Tree) -> None:
    """Put the self-contained tree that we run from, if it is one, into the root."""
    version = versions.own()
    for sentence in versions.deploy(version, tree) + versions.prune(version, tree, BUNDLES_OF_SHIMS) if version else ():
        out(f"{sentence}\n")


def _take_away(tree: Tree) -> None:
    """Take it out of a root that it was put into, with the last handler that calls it."""
    version = versions.own()
    if not version or tree.is_this_machine or any(is_at_or_below(each, version.home) for each in _called(tree)):
        return
    for sentence in versions.remove(version, tree, BUNDLES_OF_SHIMS):
        out(f"{sentence}\n")


def _called(tree: Tree) -> Iterator[str]:
    """Every program of ours that an engine calls by what was written for it."""
    for engine in ENGINES:
        for entry in record.read(tree.read(record.path(engine)), engine).entries:
            yield from programs_in(entry.now)


def _label(node: str, handler: str | None) -> None:
    try:
        kubernetes.label(node, handler)
    except kubernetes.Unable as unable:
        say(str(unable))
        return
    out(
        f"node {node} is labelled {kubernetes.LABEL}={handler}\n"
        if handler
        else f"node {node} has lost {kubernetes.LABEL}\n"
    )


def _full_path(option: str, given: str) -> str:
    """The path that an option gives, cleaned; it is one inside the root."""
    if given and not (given.startswith("/") and given.isprintable()):
        raise Problem(f"{option} {given!r} is no full path of printable letters")
    return clean(given) if given else ""


def _base_runtime(module: Engine, tree: plans.Tree, place: Place) -> str:
    """What the engine's own handler calls; "" where it is the usual runc on PATH."""
    return module.base_runtime(tree, place.main) or ("runc" if place.bins else "")


def _behind(
    tree: Tree, engine: str, handler: str, launcher: installed.Launcher, place: Place, runtime: str
) -> tuple[str, str, list[Edit]]:
    """The real runtime, the program that the engine is to call for it, and the edit that makes that one."""
    name = runtime or launcher.usual
    real = tree.program(name, (*place.bins, *PROGRAMS))
    if not real or is_ours(real) or is_ours(str(tree.outside(real))):
        raise Problem(f"the real runtime {name!r} is not there, or no other program: name one with --runtime PATH")
    if tree.outside(real) == tree.outside(launcher.runtime):
        return real, launcher.path, []
    path, text = stub(launcher.path, real, engine, handler, launcher.shell)
    return real, path, [Edit(path, (), text)]


def _hooks(launcher: installed.Launcher) -> str:
    if not launcher.hooks:
        raise Problem(f"there are no hooks beside {launcher.path}: `make install` puts them there")
    return launcher.hooks


def _program(tree: Tree, place: Place) -> str:
    return tree.program(place.program, PROGRAMS) or place.program


def _carry_out(
    tree: Tree,
    plan: Plan,
    command: str,
    *,
    dry_run: bool,
    restart: str,
    stale: bool = False,
    checks: Iterable[Callable[[], None]] = (),
) -> None:
    """Write the plan, or show it, and say what is next. `stale`: the engine must be told, also where nothing changes. Each of
    `checks` raises a Problem where the engine runs, but not as planned."""
    for sentence in plan.kept:
        say(sentence)
    if dry_run:
        for change in plan.changes:
            lines = unified(change.path, change.old or "", change.new or "", json=False)
            out("".join(coloured(lines) if on_terminal(sys.stdout) else lines))
        return
    told = bool(command) and (plan.concerns_engine or stale)
    if told and restart == "auto":
        commands.check_systemd(command, tree.root)
    made = [folder for folder in _above(plan.changes) if not tree.exists(folder)]
    if plan.changes:
        tree.commit(plan.changes, plan.folders)
    for change in plan.changes:
        out(f"{'removed' if change.new is None else 'wrote'} {change.path}\n")
    if not told:
        return
    if restart == "none":
        out(f"next: {command}\n")
        return
    try:
        commands.restart(command, tree.root)
        for check in checks:
            check()
    except Problem as problem:
        raise Problem(f"{problem}; {_put_back(tree, plan, made, command)}") from None
    out(f"done: {command}\n")


def _above(changes: Iterable[Change]) -> list[str]:
    """The folders that the files of `changes` are in, the deepest first."""
    folders = {str(folder) for change in changes for folder in PurePosixPath(change.path).parents}
    return sorted(folders, key=len, reverse=True)


def _put_back(tree: Tree, plan: Plan, made: list[str], command: str) -> str:
    """Undo the plan, which has `made` folders, since the engine does not come up with it; how that went, in words."""
    tree.commit([replace(change, old=change.new, new=change.old) for change in reversed(plan.changes)], made)
    try:
        commands.restart(command, tree.root)
    except Problem as problem:
        return f"all files are as they were, but still: {problem}"
    return "all is as it was, and the engine runs"


def _check_unused(tree: Tree, engine: str, programs: Iterable[str], otherwise: str) -> None:
    """Raise a Problem where containers of the engine call one of those `programs` that are ours."""
    running = in_use.containers(tree, engine, {program for program in programs if is_ours(program)}, BUNDLES_OF_SHIMS)
    if running:
        named = ", ".join(id[:12] for id in running[:FEW]) + (", …" if len(running) > FEW else "")
        who = (
            f"a container of {engine} still calls"
            if len(running) == 1
            else f"{len(running)} containers of {engine} still call"
        )
        raise Problem(
            f"{who} the wrapper ({named}), and cannot be stopped without it: remove first what runs{otherwise}"
        )
