"""`oci-systemd install` and `uninstall`: add the wrapper to an engine's configuration, and remove it."""

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
  oci-systemd install --dry-run containerd      show the changes
  oci-systemd install containerd                then restart it, and use the handler in a RuntimeClass
  oci-systemd install docker --default          use the wrapper for every container of Docker
  oci-systemd install podman --hook --runtime crun
"""
UNINSTALL_EXAMPLES = """\b
Examples:
  oci-systemd uninstall --dry-run containerd    show the changes
  oci-systemd uninstall containerd
"""


def engine_options(command: Callable[..., None]) -> Callable[..., None]:
    """Add the argument and the options of both commands."""
    for decorate in (
        click.option(
            "--restart",
            type=click.Choice(("none", "auto")),
            default="none",
            show_default=True,
            help="Make the engine read its changed configuration; with none, only print the command.",
        ),
        click.option(
            "--dry-run", is_flag=True, help="Change nothing; print the changes to the engine's files as a diff."
        ),
        click.option(
            "--verbose", "-v", is_flag=True, help="With --dry-run, also print the changes to oci-systemd's own record."
        ),
        click.option("--root", default="/", metavar="DIR", type=click.Path(), help="Use another root file system."),
        click.option("--handler", default="systemd", show_default=True, metavar="NAME", help="Name of the handler."),
        click.option(
            "--sysctl",
            is_flag=True,
            help="Also raise fs.inotify.max_user_instances to 1024 on the node; uninstall always restores it.",
        ),
        click.option("--node", default="", metavar="NAME", help="In a pod: also label this node of the cluster."),
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
    help="The real runtime that the wrapper calls (default: the engine's own, else the wrapper's).",
)
@click.option("--default", "as_default", is_flag=True, help="Make it the engine's default runtime.")
@click.option("--hook", is_flag=True, help="podman: also add the directory of the oci-systemd hook.")
@click.option("--config", default="", metavar="FILE", help="The engine's configuration file, if it is not found.")
@click.option("--launcher", default="", metavar="PATH", help="The installed oci-systemd-runtime, if it is not found.")
def install(
    engine: str, handler: str, root: str, dry_run: bool, verbose: bool, restart: str, sysctl: bool, node: str, runtime: str,
    as_default: bool, hook: bool, config: str, launcher: str,
) -> None:  # fmt: skip
    """Make the wrapper a runtime of an engine.

    For containerd and CRI-O it adds a handler, for use in a RuntimeClass; for Docker and podman it adds a runtime. The rest of
    the configuration is unchanged: comments, order, other runtimes. A second call applies the new options: without --default,
    for example, the wrapper is no longer the default. `uninstall` removes what this wrote.

    A self-contained tree, which needs nothing from its host, is first copied into the root, and becomes the current version;
    versions that are not used any more are removed.
    """
    if hook and engine != "podman":
        raise Problem(f"--hook: unsupported with {engine}; use it with podman, or leave it out")
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
@click.option("--force", is_flag=True, help="Also if containers of the handler are running.")
def uninstall(
    engine: str, handler: str, root: str, dry_run: bool, verbose: bool, restart: str, sysctl: bool, node: str, force: bool
) -> None:  # fmt: skip
    """Remove what install wrote, and nothing else.

    Remove the containers of the handler first: engines need the wrapper to stop them.
    """
    shown = partial(show, verbose=verbose) if dry_run else None
    request = Request(Tree(root), engine, handler, REPORTER, restart == "auto", node, force=force, show=shown)
    click.get_current_context().exit(int(not setup.uninstall(request)))


def show(plan: Plan, *, verbose: bool) -> None:
    """Print the changes to the engine's files, and with `verbose` those to our record."""
    for sentence in plan.kept:
        say(sentence)
    for change in plan.changes:
        if verbose or not change.path.startswith(record.FOLDER):
            lines = unified(change.path, change.old or "", change.new or "", json=False)
            out("".join(coloured(lines) if on_terminal(sys.stdout) else lines))


def _full_path(option: str, given: str) -> str:
    """Return the value of an option, a path inside the root, cleaned."""
    if given and not (given.startswith("/") and given.isprintable()):
        raise Problem(f"{option} {given!r}: invalid; use an absolute path of printable letters")
    return clean(given) if given else ""
