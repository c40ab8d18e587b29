"""`oci-systemd install` and `uninstall`: the wrapper in an engine's configuration, and out of it again."""

from __future__ import annotations

import sys
from functools import partial
from typing import TYPE_CHECKING

import click

from oci_systemd.cli.diff import coloured, unified
from oci_systemd.cli.output import on_terminal, out, say
from oci_systemd.core.errors import Problem
from oci_systemd.core.paths import clean
from oci_systemd.engines import record
from oci_systemd.engines.engines import ENGINES
from oci_systemd.host.tree import Tree
from oci_systemd.installation import setup
from oci_systemd.installation.setup import Request
from oci_systemd.installation.transaction import Reporter

if TYPE_CHECKING:
    from collections.abc import Callable

    from oci_systemd.engines.plan import Plan

REPORTER = Reporter(lambda line: out(f"{line}\n"), say)

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
        click.option(
            "--dry-run", is_flag=True, help="Change nothing; print the change of each of the engine's files as a diff."
        ),
        click.option("--verbose", "-v", is_flag=True, help="With --dry-run also that of our own record."),
        click.option("--root", default="/", metavar="DIR", type=click.Path(), help="Another root file system."),
        click.option("--handler", default="systemd", show_default=True, metavar="NAME", help="The handler's name."),
        click.option(
            "--sysctl",
            is_flag=True,
            help="Raise fs.inotify.max_user_instances to 1024 on the node, too; uninstall takes that back in any case.",
        ),
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
    engine: str, handler: str, root: str, dry_run: bool, verbose: bool, restart: str, sysctl: bool, node: str, runtime: str,
    as_default: bool, hook: bool, config: str, launcher: str,
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
    setup.install(
        Request(
            Tree(root),
            engine,
            handler,
            REPORTER,
            restart == "auto",
            node,
            _full_path("--runtime", runtime) if "/" in runtime else runtime,
            as_default,
            hook,
            _full_path("--config", config),
            _full_path("--launcher", launcher),
            sysctl=sysctl,
            show=partial(show, verbose=verbose) if dry_run else None,
        )
    )


@click.command(epilog=UNINSTALL_EXAMPLES)
@engine_options
@click.option("--force", is_flag=True, help="Even where containers of the handler run.")
def uninstall(
    engine: str, handler: str, root: str, dry_run: bool, verbose: bool, restart: str, sysctl: bool, node: str, force: bool
) -> None:  # fmt: skip
    """Take back what install wrote, and nothing else.

    Containers of the handler should be gone first: engines call the wrapper again to stop them.
    """
    shown = partial(show, verbose=verbose) if dry_run else None
    request = Request(Tree(root), engine, handler, REPORTER, restart == "auto", node, force=force, show=shown)
    click.get_current_context().exit(int(not setup.uninstall(request)))


def show(plan: Plan, *, verbose: bool) -> None:
    """Print what would be changed: the engine's files, and with `verbose` what we remember of them ourselves."""
    for sentence in plan.kept:
        say(sentence)
    for change in plan.changes:
        if verbose or not change.path.startswith(record.FOLDER):
            lines = unified(change.path, change.old or "", change.new or "", json=False)
            out("".join(coloured(lines) if on_terminal(sys.stdout) else lines))


def _full_path(option: str, given: str) -> str:
    """The path that an option gives, cleaned; it is one inside the root."""
    if given and not (given.startswith("/") and given.isprintable()):
        raise Problem(f"{option} {given!r} is no full path of printable letters")
    return clean(given) if given else ""
