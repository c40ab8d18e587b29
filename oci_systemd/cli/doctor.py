"""`oci-systemd doctor`: check this node, and print remedies."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import click

from oci_systemd.cli.columns import columns, terminal_width
from oci_systemd.cli.nri import is_connected
from oci_systemd.cli.output import encoded, on_terminal, out, safe
from oci_systemd.host.tree import Tree
from oci_systemd.installation import facts
from oci_systemd.installation.checks import FAIL, PASS, WARN, Finding, findings

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

COLOURS = {PASS: "green", WARN: "yellow", FAIL: "red"}
EXAMPLES = """\b
Examples:
  oci-systemd doctor
  oci-systemd doctor --json | jq -r '.[] | select(.status == "fail") | .remedy'

Exit status: 0, or 1 if a check fails.
"""


@click.command(epilog=EXAMPLES)
@click.option("--json", "as_json", is_flag=True, help="Print a list of {subject, status, said, remedy}.")
def doctor(as_json: bool) -> None:
    """Check this node, and print remedies.

    It checks the kernel and its cgroups, SELinux, the settings, the wrapper and its runtime, and for each engine whether the
    handler is in effect. In brackets is the source: the running engine, its program, or only its files. Nothing is changed.
    """
    found = findings(facts.gather(Tree(), plugin=is_connected()))
    out(_json(found) if as_json else "".join(_table(found)))
    click.get_current_context().exit(int(any(finding.status == FAIL for finding in found)))


def _json(found: Iterable[Finding]) -> bytes:
    return encoded([{"subject": f.subject, "status": f.status, "said": f.said, "remedy": f.remedy} for f in found])


def _table(found: list[Finding]) -> Iterator[str]:
    """Yield the lines. On a terminal a remedy has its own line, which is never folded, so that it can be copied."""
    apart = on_terminal(sys.stdout)
    rows = [(f.status, f.subject, f.said if apart or not f.remedy else f"{f.said}: {f.remedy}") for f in found]
    for finding, folded in zip(found, columns(("", "", ""), rows, terminal_width())[1:], strict=True):
        for line in folded:
            yield click.style(line[:4], fg=COLOURS[finding.status]) + line[4:] + "\n"
        if apart and finding.remedy:
            yield f"      {safe(finding.remedy)}\n"
