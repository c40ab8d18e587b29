"""Write the manual pages and shell completions: `python packaging/man SHARE`, with a Python that has the package and click.

SHARE is `share` below a prefix. The pages come from the help of the command line and the table of settings; only the page of the
wrapper is written by hand, in oci-systemd-runtime.8.

Law: the same source gives the same pages with every version of click.
"""

from __future__ import annotations

import os
import re
import sys
from datetime import UTC, datetime
from inspect import cleandoc
from pathlib import Path
from typing import TYPE_CHECKING

import click
import roff
from click.shell_completion import ShellComplete, get_completion_class

if TYPE_CHECKING:
    from collections.abc import Iterator

HERE = Path(__file__).parent
# The place for each shell below `share`.
COMPLETIONS = {
    "bash": "bash-completion/completions/oci-systemd",
    "zsh": "zsh/site-functions/_oci-systemd",
    "fish": "fish/vendor_completions.d/oci-systemd.fish",
}
FILES = {
    "/etc/oci-systemd/config.toml": "The settings: oci-systemd-config(5).",
    "/etc/oci-systemd/engines": "Records of what `oci-systemd install` wrote into each engine's configuration, for `uninstall`.",
    "/var/log/oci-systemd.log": "The log of adjusted containers, if there is no journal.",
}
ENVIRONMENT = {
    "OCI_SYSTEMD_CONFIG": "The settings file to use instead of the default one.",
    "NO_COLOR": "Print without colours.",
}
# The start of a paragraph of an epilog, and its section; other paragraphs are notes.
SECTIONS = {"Examples": "examples", "Exit status": "exit status"}
SETTINGS = """The node owner's settings, in TOML. The file is optional, and each setting has a default. The names below are table
    and key: `log.level` is `level` in the table `[log]`."""
ANNOTATIONS = """Annotations on a container or its pod. For one container NAME of a pod, KEY/NAME wins over KEY. With an invalid
    value the container is not created."""
MISTAKES = """After a mistake in this file, containers with systemd fail until it is corrected; other containers are not
    affected. `oci-systemd config check` lists all mistakes, and `oci-systemd config` the settings in effect."""


def main(share: Path) -> None:
    from oci_systemd.cli import cli

    for name, text in pages(cli).items():
        write(share / "man" / f"man{name[-1]}" / name, text)
    for shell, place in COMPLETIONS.items():
        write(share / place, completion(cli, shell))


def write(file: Path, text: str) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(text)
    file.chmod(0o644)


def completion(cli: click.Command, shell: str) -> str:
    kind = get_completion_class(shell)
    assert kind
    text = ShellComplete.source(kind(cli, {}, "oci-systemd", "_OCI_SYSTEMD_COMPLETE")).strip()
    if (
        shell == "zsh"
    ):  # a file that zsh autoloads must complete at the first call; click's own ending does so at the second
        return text.partition("\n}\n")[0] + '\n}\n\n_oci_systemd_completion "$@"\n'
    return text + "\n"


def pages(cli: click.Group) -> dict[str, str]:
    """Return every page by the name of its file."""
    commands = {context.command_path.replace(" ", "-"): page(context) for context in contexts(cli)}
    wrapper = (HERE / "oci-systemd-runtime.8").read_text().replace("@VERSION@", version()).replace("@DATE@", date())
    return {f"{name}.1": text for name, text in commands.items()} | {
        "oci-systemd-config.5": settings(),
        "oci-systemd-runtime.8": wrapper + what_pods_say(),
    }


def version() -> str:
    from oci_systemd import __version__

    return __version__


def date() -> str:
    """Return the date of the source (reproducible-builds.org, SOURCE_DATE_EPOCH); "" if unknown."""
    epoch = os.environ.get("SOURCE_DATE_EPOCH")
    return datetime.fromtimestamp(int(epoch), UTC).strftime("%Y-%m-%d") if epoch else ""


def contexts(command: click.Command, parent: click.Context | None = None) -> Iterator[click.Context]:
    """Yield a context for the command, and for each command below it."""
    name = "oci-systemd" if parent is None else command.name
    context = click.Context(command, parent=parent, info_name=name, **command.context_settings)
    yield context
    for _, below in commands_of(context):
        yield from contexts(below, context)


def commands_of(context: click.Context) -> Iterator[tuple[str, click.Command]]:
    if isinstance(context.command, click.Group):
        for name in context.command.list_commands(context):
            command = context.command.get_command(context, name)
            if command:
                yield name, command


# Pages of commands


def page(context: click.Context) -> str:
    command = context.command
    about, *rest = paragraphs(command.help)
    return "".join(
        (
            roff.header(context.command_path, 1, version(), date(), about),
            roff.section("synopsis", synopsis(context)),
            roff.section("description", *map(body, rest or [about])),
            roff.section("options", *options(context)),
            roff.section("commands", *commands(context)),
            *epilog(command.epilog),
            *(() if context.parent else (named("environment", ENVIRONMENT), named("files", FILES))),
            see_also(context),
        )
    )


def paragraphs(text: str | None) -> list[str]:
    return re.split(r"\n\s*\n", cleandoc(text or "").strip())


def synopsis(context: click.Context) -> str:
    pieces = " ".join(context.command.collect_usage_pieces(context))
    return f"{roff.bold(context.command_path)} {roff.plain(pieces)}\n"


def body(text: str) -> str:
    """Return a paragraph; after a backspace, or if indented, it keeps its lines (as in click)."""
    lines = text.splitlines()
    if lines[0] == "\b":
        return roff.verbatim(lines[1:])
    if len(lines) > 1 and all(line.startswith("  ") for line in lines[1:]):
        return roff.paragraph(lines[0]) + roff.verbatim(cleandoc("\n".join(["", *lines[1:]])).splitlines())
    return roff.paragraph(text)


def options(context: click.Context) -> Iterator[str]:
    for parameter in context.command.get_params(context):
        record = parameter.get_help_record(context)
        if record and isinstance(parameter, click.Option):
            yield roff.item(roff.bold(record[0]), record[1])


def commands(context: click.Context) -> Iterator[str]:
    for name, command in commands_of(context):
        page = f"{context.command_path} {name}".replace(" ", "-")
        yield roff.item(f"{roff.bold(page)}(1)", paragraphs(command.help)[0])


def epilog(text: str | None) -> Iterator[str]:
    for part in paragraphs(text) if text else ():
        lines = part.removeprefix("\b\n")
        title, colon, rest = lines.partition(":")
        known = SECTIONS.get(title) if colon else None
        if known and rest.startswith("\n"):
            yield roff.section(known, roff.verbatim(cleandoc(rest).splitlines()))
        else:
            yield roff.section(known or "notes", body(rest.strip() if known else lines))


def named(title: str, rows: dict[str, str]) -> str:
    return roff.section(title, *(roff.item(roff.bold(name), text) for name, text in rows.items()))


def see_also(context: click.Context) -> str:
    above = [context.parent.command_path.replace(" ", "-") + "(1)"] if context.parent else []
    return references(*above, "oci-systemd-config(5)", "oci-systemd-runtime(8)")


def references(*pages: str) -> str:
    names = (page.partition("(") for page in pages)
    return roff.section("see also", ",\n".join(f"{roff.bold(name)}({number}" for name, _, number in names) + "\n")


# Pages of tables


def settings() -> str:
    from oci_systemd.core.settings import TABLE

    rows = (
        roff.item(f"{roff.bold(name)} = {roff.plain(toml(default))}", f"{sentence(text)} It takes {check(object())}.")
        for name, (default, check, text) in TABLE.items()
    )
    return "".join(
        (
            roff.header("oci-systemd-config", 5, version(), date(), "settings of oci-systemd"),
            roff.section("synopsis", "/etc/oci\\-systemd/config.toml\n"),
            roff.section("description", roff.paragraph(SETTINGS), roff.paragraph(MISTAKES)),
            roff.section("settings", *rows),
            named("environment", {"OCI_SYSTEMD_CONFIG": ENVIRONMENT["OCI_SYSTEMD_CONFIG"]}),
            references("oci-systemd-config(1)", "oci-systemd-runtime(8)"),
        )
    )


def sentence(text: str) -> str:
    return f"{text[:1].upper()}{text[1:]}."


def toml(value: object) -> str:
    """Return a default as in the file."""
    if isinstance(value, list):
        return f"[{', '.join(map(toml, value))}]"
    return f'"{value}"' if isinstance(value, str) else str(value).lower()


def what_pods_say() -> str:
    """Return the section of the annotations, each with its values."""
    from oci_systemd.core.annotations import KEYS

    rows = (roff.item(roff.bold(key), f"Takes {check('')}.") for key, check in KEYS.items())
    return roff.section("annotations", roff.paragraph(ANNOTATIONS), *rows) + references(
        "oci-systemd(1)", "oci-systemd-config(5)", "runc(8)", "crun(1)"
    )


if __name__ == "__main__":
    main(Path(sys.argv[1]))
