"""What can go wrong, as sentences: what is wrong, where, and what to do.

The core raises these; only a shell's `main` prints them.
"""

from __future__ import annotations

LONGEST = 4096  # characters of all sentences together: names in them may be as long as a pod's author likes


class Problem(Exception):
    """Something a person must read. `sentences` are complete and printable; `str()` joins them on one bounded line."""

    def __init__(self, *sentences: str) -> None:
        self.sentences = tuple(printable(sentence) for sentence in sentences)
        super().__init__(*self.sentences)

    def __str__(self) -> str:
        return "; ".join(self.sentences)[:LONGEST]


def printable(text: str) -> str:
    """`text` on one line, with the escapes in it made visible: what a pod's author wrote moves no terminal and breaks no log."""
    return (
        text
        if text.isprintable()
        else "".join(letter if letter.isprintable() else ascii(letter)[1:-1] for letter in text)
    )


class Shortage(Problem):
    """No descriptor or no memory is left for a look at something: what is not seen must not count as not there."""


class SpecError(Problem):
    """A config.json that is no JSON, or holds a wrong type where it is read. The real runtime reports it on `create`."""


class SettingsError(Problem):
    """A settings file, or a value given for a setting, that is wrong. It fails only containers that are wanted or ask."""


class Refused(Problem):
    """A container that asked for what cannot be served or is not allowed, or whose annotations are wrong: creation fails."""
