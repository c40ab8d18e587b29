"""`oci-systemd install` and `uninstall`: the wrapper in an engine's configuration, and out of it again."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

import click

from oci_systemd.cli import installed
from oci_systemd.cli.carry_out import Order, carry_out, finish, must_tell, show
from oci_systemd.cli.output import out, say
from oci_systemd.core.errors import Problem
from oci_systemd.core.paths import clean
from oci_systemd.engines import plan as plans
from oci_systemd.engines import record
from oci_systemd.engines.engines import ENGINES, Engine, command_of
from oci_systemd.engines.launcher import is_ours, programs_in, stub
from oci_systemd.engines.place import PROGRAMS, Place, find
from oci_systemd.engines.plan import Edit, Overlay
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
    _check_node(engine, node)
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
    needed = command_of(tree, place.removal if plan.takes_back and place.removal else place.restart)
    order = Order(
        tree, engine, handler, needed, restart == "auto", place.socket, bool(place.socket) and tree.exists(place.socket),
        undo=lambda: plans.uninstall(engine, handler, tree),
    )  # fmt: skip
    told = False
    if dry_run:
        show(plan)
    else:
        _check_unused(tree, engine, [change.path for change in plan.changes if change.new is None], "")
        told = must_tell(plan, order)
        _bring(tree)
        carry_out(plan, order, told=told)
        _bring(tree)  # once more: until now no file named it, so that another of us may have taken it away
        _prune(tree)
    if not plan.changes and not told:
        out(f"{engine} has the handler {handler} already; nothing to do\n")
    if node and not dry_run:
        _label(node, order, told=told)


@click.command(epilog=UNINSTALL_EXAMPLES)
@engine_options
@click.option("--force", is_flag=True, help="Even where containers of the handler run.")
def uninstall(engine: str, handler: str, root: str, dry_run: bool, restart: str, node: str, force: bool) -> None:
    """Take back what install wrote, and nothing else.

    Containers of the handler should be gone first: engines call the wrapper again to stop them.
    """
    tree = Tree(root)
    _check_node(engine, node)
    if node and not dry_run:  # no pod comes any more, and those that are there may go
        _unlabel(node, handler)
    serves = _uninstall(tree, engine, handler, dry_run=dry_run, automatic=restart == "auto", force=force)
    if not dry_run and not serves:
        _take_away(tree, force=force)


def _uninstall(tree: Tree, engine: str, handler: str, *, dry_run: bool, automatic: bool, force: bool) -> bool:
    """Take the handler out of the engine's files; whether the engine still serves it, until somebody tells it."""
    known = record.read(tree.read(record.path(engine)), engine)
    if handler not in known.handlers:
        others = f"; there is {', '.join(known.handlers)}" if known.handlers else ""
        out(f"no handler {handler} of ours is installed in {engine}{others}; nothing to do\n")
        return not dry_run and finish(Order(tree, engine, handler, "", automatic))
    plan = plans.uninstall(engine, handler, tree)
    if dry_run:
        show(plan)
        return False
    if not force:
        programs = [program for entry in known.of(handler) for program in programs_in(entry.now)]
        _check_unused(tree, engine, programs, ", or use --force")
    order = Order(tree, engine, handler, known.restart, automatic)
    told = must_tell(plan, order)
    carry_out(plan, order, told=told)
    return told and not automatic and bool(order.command)


def _bring(tree: Tree) -> None:
    """Put the self-contained tree that we run from, if it is one, into the root."""
    version = versions.own()
    for sentence in versions.deploy(version, tree) if version else ():
        out(f"{sentence}\n")


def _prune(tree: Tree) -> None:
    """Take the versions away that nothing calls any more. Where that cannot be, they do no harm."""
    version = versions.own()
    try:
        for sentence in versions.prune(version, tree, BUNDLES_OF_SHIMS) if version else ():
            out(f"{sentence}\n")
    except Problem as problem:
        say(f"what was there stays: {problem}")


def _take_away(tree: Tree, *, force: bool) -> None:
    """Take it out of a root that it was put into, with the last handler that calls it."""
    version = versions.own()
    if not version or tree.is_this_machine:
        return
    try:
        for sentence in versions.remove(version, tree, BUNDLES_OF_SHIMS, partial(_called, tree)):
            out(f"{sentence}\n")
    except Problem as problem:
        if not force:
            raise
        say(str(problem))


def _called(tree: Tree) -> Iterator[str]:
    """Every program of ours that an engine calls by what was written for it."""
    for engine in ENGINES:
        for entry in record.read(tree.read(record.path(engine)), engine).entries:
            yield from programs_in(entry.now)


def _check_node(engine: str, node: str) -> None:
    if node and not any(place.socket for place in ENGINES[engine].PLACES):
        raise Problem(f"--node is for the engine of a cluster, which {engine} is not: leave it out")


def _label(node: str, order: Order, *, told: bool) -> None:
    """Tell the cluster that the node has the handler, which then sends pods: once it is in effect."""
    if told and not order.automatic and order.command:
        say(f"node {node} is not labelled yet: do `{order.command}` first, then this again")
        return
    if order.socket and not order.can_ask:
        say(
            f"nothing is at {order.socket}, where the engine would tell whether the handler is in effect: it is not asked"
        )
    order.wait()
    try:
        kubernetes.label(node, order.handler)
    except kubernetes.Unable as unable:
        say(str(unable))
        return
    out(f"node {node} is labelled {kubernetes.LABEL}={order.handler}\n")


def _unlabel(node: str, handler: str) -> None:
    try:
        kubernetes.unlabel(node, handler)
    except kubernetes.Unable as unable:
        say(str(unable))
        return
    out(f"node {node} has lost {kubernetes.LABEL}={handler}\n")


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
