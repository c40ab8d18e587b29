"""Text for man(7): every letter is literal, and a `word` in backquotes is bold."""

from __future__ import annotations

import re

# Letters that roff would take for something else, or typeset as another one (groff_char(7)).
LETTERS = str.maketrans({"\\": r"\e", "-": r"\-", "'": r"\(aq", "^": r"\(ha", "~": r"\(ti", '"': r"\(dq", "`": r"\(ga"})

PARAGRAPH = ".PP\n"


def plain(text: str) -> str:
    """`text` as it stands, safe at the beginning of a line and within a macro's argument."""
    letters = text.translate(LETTERS)
    return rf"\&{letters}" if letters.startswith(".") else letters


def bold(text: str) -> str:
    return rf"\fB{plain(text)}\fR"


def prose(text: str) -> str:
    """A paragraph's text on one line."""
    parts = re.split(r"`([^`]+)`", " ".join(text.split()))
    return "".join(bold(part) if index % 2 else plain(part) for index, part in enumerate(parts))


def header(name: str, section: int, version: str, date: str, about: str) -> str:
    name = name.replace(" ", "-")
    title = f'.TH {plain(name.upper())} {section} "{date}" "oci\\-systemd {plain(version)}"\n'
    return f"{title}.ad l\n.nh\n.SH NAME\n{plain(name)} \\- {prose(about).rstrip('.')}\n"


def section(title: str, *bodies: str) -> str:
    """A section of these bodies, the first of which needs no paragraph of its own; none where there are none."""
    return f".SH {plain(title.upper())}\n{''.join(bodies).removeprefix(PARAGRAPH)}" if any(bodies) else ""


def paragraph(text: str) -> str:
    return f"{PARAGRAPH}{prose(text)}\n"


def verbatim(lines: list[str]) -> str:
    body = "".join(f"{plain(line)}\n" if line else ".sp\n" for line in lines)
    return f"{PARAGRAPH}.RS 4\n.nf\n{body}.fi\n.RE\n"


def item(name: str, text: str) -> str:
    """A tagged paragraph; `name` is roff already."""
    return f".TP\n{name}\n{prose(text)}\n"
