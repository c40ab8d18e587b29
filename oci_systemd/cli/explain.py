"""`oci-systemd explain`: show the changes to one container, and why."""

from __future__ import annotations

import click

from oci_systemd.cli.given import Found, Given, container_options
from oci_systemd.cli.output import encoded, heading, out, safe, table
from oci_systemd.core.annotations import WANTED, key_for
from oci_systemd.core.container import Mount
from oci_systemd.core.detect import LEFT_ALONE
from oci_systemd.core.edits import Edit
from oci_systemd.core.errors import Problem, Refused, SettingsError

EXAMPLES = """\b
Examples:
  oci-systemd explain bundle/
  oci-systemd explain --this-host --annotation io.systemd.container=true config.json
  oci-systemd explain --json bundle/ | jq .warnings

\b
--json prints one object:
  wanted    true if systemd is the container's PID 1, else false; null if refused
  asked     true if an annotation asks for it
  reason    why it is wanted or not
  edits     list of {kind, text, reason, and values of the kind}, in order
  kept      list of {what, reason}: values that are not changed
  warnings  list of sentences
  refused   list of sentences: why creation fails; empty if it does not

Exit status: 0, or 2 if PATH cannot be read or the container is refused.
"""
LONGEST_REASON = 2000  # characters on the line of the reason


@click.command(epilog=EXAMPLES)
@click.argument("path", type=click.Path(), metavar="PATH")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
@container_options
def explain(given: Given, path: str, as_json: bool) -> None:
    """Show the changes to a container, and why.

    PATH is a bundle directory, a config.json, or - for stdin. No file is changed.
    """
    try:
        found = given.find(path)
    except (Refused, SettingsError) as problem:
        out(encoded(_refused_document(problem)) if as_json else _refused_text(problem))
        click.get_current_context().exit(2)
    out(encoded(_document(found)) if as_json else _text(found))


def warnings(found: Found) -> list[str]:
    """Return the adjustment's warnings, and one if a pod's annotation reaches the other containers of the pod too."""
    container, said = found.container, list(found.adjustment.warnings)
    if found.adjustment.verdict.asked and container.name and key_for(container, WANTED) == WANTED:
        alone = f"use {WANTED}/{container.name} for this container alone"
        said.append(f"annotation {WANTED} reaches every container of the pod, injected sidecars too; {alone}")
    return said


def _text(found: Found) -> str:
    adjustment = found.adjustment
    yes, colour = ("yes", "green") if adjustment.verdict.wanted else ("no", "yellow")
    reason, others = _reason(found)
    sections: dict[str, list[tuple[str, str]]] = {
        "changes": [(str(edit), edit.reason) for edit in adjustment.edits] or [("none", "")],
        "unchanged": [(kept.what, kept.reason) for kept in adjustment.kept],
        "warnings": [(warning, "") for warning in others],
    }
    parts = [click.style(f"wanted: {yes}", fg=colour, bold=True), f"\nreason: {safe(reason, LONGEST_REASON)}\n"]
    parts += [heading(name) + table(rows) for name, rows in sections.items() if rows]
    return "".join(parts)


def _reason(found: Found) -> tuple[str, list[str]]:
    """Return the fullest form of the reason, and the warnings that do not repeat it."""
    reason, said = found.adjustment.verdict.reason, warnings(found)
    full = next((each for each in said if reason in each), reason)
    return full, [each for each in said if each != full and each.removeprefix(LEFT_ALONE) not in full]


def _refused_text(problem: Problem) -> str:
    rows = [(sentence, "") for sentence in problem.sentences]
    return click.style("refused: the container is not created", fg="red", bold=True) + "\n" + table(rows)


def _document(found: Found) -> dict[str, object]:
    adjustment = found.adjustment
    return {
        "wanted": adjustment.verdict.wanted,
        "asked": adjustment.verdict.asked,
        "reason": adjustment.verdict.reason,
        "edits": [_edit(edit) for edit in adjustment.edits],
        "kept": [{"what": kept.what, "reason": kept.reason} for kept in adjustment.kept],
        "warnings": warnings(found),
        "refused": [],
    }


def _refused_document(problem: Problem) -> dict[str, object]:
    unknown = dict.fromkeys(("wanted", "asked", "reason"))
    return {**unknown, "edits": [], "kept": [], "warnings": [], "refused": list(problem.sentences)}


def _edit(edit: Edit) -> dict[str, object]:
    own = {name: _value(getattr(edit, name)) for name in _slots(type(edit)) if name not in edit.secret}
    return {"kind": type(edit).__name__, "text": str(edit), "reason": edit.reason, **own}


def _slots(kind: type) -> list[str]:
    """Return the names of the kind's own values and of those that it inherits."""
    kinds = reversed(kind.__mro__[: kind.__mro__.index(Edit)])
    return [name for each in kinds for name in each.__dict__["__slots__"]]


def _value(value: object) -> object:
    return {name: getattr(value, name) for name in Mount.__slots__} if isinstance(value, Mount) else value
