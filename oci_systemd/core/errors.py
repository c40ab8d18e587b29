"""Errors as sentences: the subject, what is wrong, and what to do.

The core raises these; only a shell's `main` prints them.
"""

from __future__ import annotations

LONGEST = 4096  # characters of all sentences together: a pod's author may choose long names


class Problem(Exception):
    """An error for a person to read. `sentences` are complete and printable; `str()` joins them on one line of limited length."""

    def __init__(self, *sentences: str) -> None:
        self.sentences = tuple(printable(sentence) for sentence in sentences)
        super().__init__(*self.sentences)

    def __str__(self) -> str:
        return "; ".join(self.sentences)[:LONGEST]


def printable(text: str) -> str:
    """Return `text` on one line with its control characters escaped, since a pod's author may have written it."""
    return (
        text
        if text.isprintable()
        else "".join(letter if letter.isprintable() else ascii(letter)[1:-1] for letter in text)
    )


class Shortage(Problem):
    """No file descriptor or no memory left to look at a file. The file must not count as absent."""


class SpecError(Problem):
    """A config.json that is invalid JSON, or has a wrong type in a value that is read. On `create` the real runtime reports it."""


class SettingsError(Problem):
    """An invalid settings file or setting. Only containers that are wanted, or that ask, fail because of it."""


class Refused(Problem):
    """A container whose creation fails: it asks for something impossible or not allowed, or its annotations are invalid."""
