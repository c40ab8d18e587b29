"""`oci-systemd rewrite`: adjust config.json files without an engine."""

from __future__ import annotations

import sys
from collections import Counter
from typing import TYPE_CHECKING

import click

from oci_systemd.cli.diff import coloured, unified
from oci_systemd.cli.given import STDIN, Given, container_options
from oci_systemd.cli.output import Progress, json_bytes, on_terminal, out, say
from oci_systemd.core.errors import Problem, Refused, SettingsError
from oci_systemd.host import bundle

if TYPE_CHECKING:
    from collections.abc import Callable

    from oci_systemd.cli.given import Found

EXAMPLES = """\b
Examples:
  oci-systemd rewrite --diff bundle/           show the changes
  oci-systemd rewrite -i bundle/               change the file
  oci-systemd rewrite - <config.json >new.json
  oci-systemd rewrite --check bundles/*        exit 1 if any would change
  oci-systemd rewrite -i --set tmpfs.size=64m --annotation io.systemd.container=true bundles/*

Exit status: 0 if done, 1 if --check finds a change, 2 if a PATH cannot be read or its container is refused.
"""


@click.command(epilog=EXAMPLES)
@click.argument("paths", nargs=-1, required=True, type=click.Path(), metavar="PATH...")
@click.option("-i", "--in-place", is_flag=True, help="Replace each config.json, as a whole or not at all.")
@click.option("--diff", is_flag=True, help="Print a unified diff.")
@click.option("--check", is_flag=True, help="Change nothing; print each PATH that would change, and exit with 1.")
@container_options
def rewrite(given: Given, paths: tuple[str, ...], in_place: bool, diff: bool, check: bool) -> None:
    """Adjust a bundle's config.json to let systemd boot.

    PATH is a bundle directory, a config.json, or - for stdin. The new JSON of a single PATH is printed to stdout. A
    config.json that is not wanted is printed unchanged.
    """
    paths = tuple(dict.fromkeys(paths))
    _check_usage(given, paths, in_place=in_place, diff=diff, check=check)
    act = _action(in_place=in_place, diff=diff, check=check)
    tally, failures = _rewritten(given, paths, act, bar=not diff)
    for failure in failures:
        say(failure)
    if len(paths) > 1:
        verb = "changed" if in_place else "would change"
        say(f"{tally[True]} {verb}, {tally[False]} unchanged, {len(failures)} failed")
    click.get_current_context().exit(2 if failures else int(check and tally[True] > 0))


def _check_usage(given: Given, paths: tuple[str, ...], *, in_place: bool, diff: bool, check: bool) -> None:
    if in_place and check:
        raise Problem("--in-place and --check: cannot be used together; leave out one of them")
    if in_place and STDIN in paths:
        raise Problem("stdin: cannot be changed in place; leave out -i, or pass a file")
    if len(paths) > 1 and not (in_place or diff or check):
        raise Problem("several paths: cannot print all to stdout; use -i to change the files, or --diff or --check")
    if len(paths) > 1 and given.id is not None:
        raise Problem("--id: unsupported with several paths; pass one PATH")


def _rewritten(
    given: Given, paths: tuple[str, ...], act: Callable[[str, Found, str], None], *, bar: bool
) -> tuple[Counter[bool], list[str]]:
    """Return how many of `paths` changed (True) and how many did not, and a sentence for each failure."""
    tally: Counter[bool] = Counter()
    failures: list[str] = []
    with Progress(len(paths)) as progress:
        for path in paths:
            try:
                tally[_one(given, path, act)] += 1
            except Problem as problem:
                failures.append(str(problem))
            if bar:
                progress.step()
    return tally, failures


def _one(given: Given, path: str, act: Callable[[str, Found, str], None]) -> bool:
    """Return whether the config.json at `path` changes; `act` carries out the options."""
    try:
        found = given.find(path)
        for warning in found.adjustment.warnings:
            say(f"{path}: {warning}")
        new = found.text()
        act(path, found, new)
    except (Refused, SettingsError) as problem:
        raise Problem(f"{path}: refused: {problem}") from None
    except OSError as error:
        raise Problem(f"{path}: cannot rewrite: {error.strerror or error}") from None
    return new != found.config.text


def _action(*, in_place: bool, diff: bool, check: bool) -> Callable[[str, Found, str], None]:
    """Return the function that handles each result."""
    if not in_place:
        return _show_diff if diff else _name if check else _print
    return _show_and_save if diff else _save


def _print(path: str, found: Found, new: str) -> None:
    out(json_bytes(new.encode()))


def _name(path: str, found: Found, new: str) -> None:
    if new != found.config.text:
        out(f"{path}\n".encode(errors="surrogateescape"))


def _show_diff(path: str, found: Found, new: str) -> None:
    lines = unified(found.config.path, found.config.text, new)
    if lines:
        out("".join(coloured(lines)) if on_terminal(sys.stdout) else "".join(lines).encode())


def _save(path: str, found: Found, new: str) -> None:
    bundle.sweep(found.config.path)
    if new != found.config.text:
        bundle.save(found.config, new, durable=True)


def _show_and_save(path: str, found: Found, new: str) -> None:
    _show_diff(path, found, new)
    _save(path, found, new)
