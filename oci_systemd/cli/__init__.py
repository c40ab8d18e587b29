"""The command line `oci-systemd`, with click. Each command has its own file, which is loaded only when it is called.

Law: every error is one sentence on stderr, never a traceback, with exit status 2; only `Commands.main` prints it.
"""

from __future__ import annotations

import sys
from difflib import get_close_matches
from importlib import import_module
from typing import Any, NoReturn

import click
from click.shell_completion import ShellComplete, get_completion_class

from oci_systemd import __version__
from oci_systemd.cli.output import PROGRAM, colours_allowed, out, say, silence
from oci_systemd.core.errors import Problem

SECTIONS = {
    "Node": ("install", "uninstall", "doctor", "status"),
    "Bundles": ("rewrite", "explain"),
    "Settings": ("config",),
    "Called by engines": ("nri", "hook"),
    "Shell": ("completion",),
}
# Command -> its module below `cli`.
MODULES = {
    "install": "install",
    "uninstall": "install",
    "doctor": "doctor",
    "status": "status",
    "rewrite": "rewrite",
    "explain": "explain",
    "config": "config",
    "nri": "nri",
}
EXAMPLES = """\b
Examples:
  oci-systemd install containerd          add a runtime handler that calls the wrapper
  oci-systemd doctor                      check this node
  oci-systemd explain bundle/             show the changes to a bundle, and why
  oci-systemd rewrite --diff bundle/      show the same changes as a diff
  oci-systemd rewrite -i bundle/          make the changes
  oci-systemd config check config.toml    check a settings file
  source <(oci-systemd completion bash)   enable completion in this shell
"""
SHELLS = ("bash", "zsh", "fish")
INTERRUPTED = 128 + 2  # a shell's exit status for SIGINT


class Commands(click.Group):
    """Commands listed in sections, and every error as one sentence."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return [*MODULES, *super().list_commands(ctx)]

    def get_command(self, ctx: click.Context, name: str) -> click.Command | None:
        if name not in MODULES:
            return super().get_command(ctx, name)
        found: click.Command = getattr(import_module(f"{__name__}.{MODULES[name]}"), name)
        return found

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        near = get_close_matches(args[0], self.list_commands(ctx), 1)
        if near and self.get_command(ctx, args[0]) is None:
            raise click.UsageError(f"no such command {args[0]!r}; did you mean {near[0]!r}?", ctx)
        return super().resolve_command(ctx, args)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        told = {name for names in SECTIONS.values() for name in names}
        others = {"Other": tuple(name for name in self.list_commands(ctx) if name not in told)}
        for title, names in (SECTIONS | others).items():
            found = [(name, command) for name in names if (command := self.get_command(ctx, name))]
            if found:
                with formatter.section(title):
                    formatter.write_dl([(name, command.get_short_help_str(80)) for name, command in found])

    def main(self, *args: Any, **extra: Any) -> NoReturn:
        try:
            code = super().main(*args, **extra | {"prog_name": PROGRAM, "standalone_mode": False})
            sys.exit(code if isinstance(code, int) else 0)
        except click.UsageError as error:
            say(_usage(error))
        except (Problem, click.ClickException) as error:
            say(error)
        except click.Abort:
            say("interrupted")
            sys.exit(INTERRUPTED)
        except OSError as error:
            say(_os_error(error))
        except MemoryError:
            say("out of memory")
        sys.exit(2)


def _usage(error: click.UsageError) -> str:
    message = " ".join(error.format_message().split()).rstrip(".")
    where = error.ctx.command_path if error.ctx else PROGRAM
    help = "" if message.endswith("?") else f"; see {where} --help"
    return message[:1].lower() + message[1:].replace(". Did you", "; did you") + help


def _os_error(error: OSError) -> str:
    """Return the sentence for an error of the system. Output that cannot be written is dropped."""
    if error.filename is None and sys.stdout is not None:
        silence(sys.stdout)
        return f"cannot read or write: {error.strerror or error}"
    return f"{error.filename}: {error.strerror}"


@click.group(
    cls=Commands,
    epilog=EXAMPLES,
    invoke_without_command=True,
    context_settings={"help_option_names": ["-h", "--help"]},
)
@click.version_option(__version__, prog_name=PROGRAM, message="%(prog)s %(version)s")
@click.option(
    "--config", "config_file", type=click.Path(), metavar="FILE", help="Settings file; overrides OCI_SYSTEMD_CONFIG."
)
@click.pass_context
def cli(context: click.Context, config_file: str | None) -> None:
    """Run systemd as PID 1 in ordinary containers, on every engine, without privileged mode."""
    context.obj = config_file
    context.color = colours_allowed()
    if not context.invoked_subcommand:
        out(context.get_help() + "\n")


@cli.command()
def hook() -> None:
    """Adjust a config.json from stdin to stdout (hook of podman, stage precreate).

    podman calls it in the bundle's directory; use `rewrite -` on the command line. If the container is refused, the
    reason is on stderr, and the exit status is 1.
    """
    from oci_systemd import hook

    hook.main()


@cli.command()
@click.argument("shell", type=click.Choice(SHELLS))
def completion(shell: str) -> None:
    """Print the completion script for a shell.

    \b
    bash: source <(oci-systemd completion bash)
    zsh:  source <(oci-systemd completion zsh)
    fish: oci-systemd completion fish | source
    """
    kind = get_completion_class(shell)
    if kind is not None:
        out(ShellComplete.source(kind(cli, {}, PROGRAM, "_OCI_SYSTEMD_COMPLETE")))


def main() -> NoReturn:
    """Run the console script. Letters that the terminal's encoding lacks are escaped."""
    for stream in (sys.stdout, sys.stderr):
        if stream is not None and hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="backslashreplace")
    cli.main()
