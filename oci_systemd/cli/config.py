"""`oci-systemd config`: show the settings in effect, and check a settings file."""

from __future__ import annotations

import json
import os

import click

from oci_systemd.cli.given import chosen_file, config_option, set_option, with_set
from oci_systemd.cli.output import encoded, out, safe, say, table
from oci_systemd.core.errors import SettingsError
from oci_systemd.core.settings import TABLE, Settings
from oci_systemd.host import settings_file
from oci_systemd.host.files import read_regular

EXAMPLES = """\b
Examples:
  oci-systemd config
  oci-systemd config --set tmpfs.size=64m --json
  oci-systemd config check /etc/oci-systemd/config.toml
"""


@click.group(invoke_without_command=True, epilog=EXAMPLES)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object: {name: {value, origin}}.")
@set_option
@config_option
@click.pass_context
def config(context: click.Context, as_json: bool, texts: tuple[str, ...], own_config: str | None) -> None:
    """Show the settings in effect, each with its origin."""
    if context.invoked_subcommand:
        return
    file = chosen_file(own_config) or settings_file.chosen(os.environb)
    try:
        settings = with_set(settings_file.load(file), texts)
    except SettingsError as problem:
        _tell(context, problem)
    out(_json(settings) if as_json else table(_rows(settings)))


@config.command()
@click.argument("file", type=click.Path(), metavar="FILE")
@click.pass_context
def check(context: click.Context, file: str) -> None:
    """Check the settings file FILE, and print every mistake with its line."""
    try:
        read_regular(file, settings_file.LIMIT)  # the default file may be missing, but not one to check
        settings_file.load(file)
    except SettingsError as problem:
        _tell(context, problem)
    out(f"settings file {safe(file)}: valid\n")


def _tell(context: click.Context, problem: SettingsError) -> None:
    for sentence in problem.sentences:
        say(sentence)
    context.exit(2)


def _rows(settings: Settings) -> list[tuple[str, str]]:
    shown = {name: json.dumps(settings.values[name], ensure_ascii=False) for name in TABLE}
    return [(f"{name} = {shown[name]}", settings.origins[name]) for name in TABLE]


def _json(settings: Settings) -> bytes:
    document = {name: {"value": settings.values[name], "origin": safe(settings.origins[name])} for name in TABLE}
    return encoded(document)
