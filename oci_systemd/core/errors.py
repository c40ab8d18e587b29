"""What can go wrong, as sentences: what is wrong, where, and what to do.

The core raises these; only a shell's `main` prints them.
"""

from __future__ import annotations


class Problem(Exception):
    """Something a person must read. `sentences` are complete; `str()` joins them on one line."""

    def __init__(self, *sentences: str) -> None:
        super().__init__(*sentences)
        self.sentences = sentences

    def __str__(self) -> str:
        return "; ".join(self.sentences)


class SpecError(Problem):
    """A config.json that is no JSON, or holds a wrong type where it is read. The real runtime reports it on `create`."""


class SettingsError(Problem):
    """A settings file, or a value given for a setting, that is wrong. It fails only containers that are wanted or ask."""


class Refused(Problem):
    """A container that asked for what cannot be served or is not allowed, or whose annotations are wrong: creation fails."""
