"""Read the plain part of TOML, which is enough for most settings files, without `tomllib`, which takes twice the whole call.

Law: the result is the same as from tomllib. For everything else, and for every mistake, the result is None, and tomllib reads or
refuses the file. Plain is: `[table]`, `key = value` with bare keys, dotted or not (`table.key = value`, `[table.inner]`), and as a
value true, false, a decimal number, a "string" without a backslash, or a list of such strings on one line; comments anywhere.

A header always makes a new table. So every table inside a section was made by a dotted key of that section, and TOML lets dotted
keys add to exactly those tables (TOML 1.0, "Table").
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import TypeAlias

    Plain: TypeAlias = "bool | int | str | list[str]"
    Table: TypeAlias = "dict[str, object]"

KEY_LETTERS = frozenset("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-")
WORDS = {"true": True, "false": False}
DIGITS = 18  # a number of 18 digits fits in 64 bits


def read(text: str) -> Table | None:
    """Return the document in `text`, None if it is not plain."""
    document: Table = {}
    section = document
    for line in text.split("\n"):
        bare = line.strip(" \t")
        if not bare.replace("\t", " ").isprintable():
            return None
        if not bare or bare[0] == "#":
            continue
        if bare[0] == "[":
            key, section = _header(bare), {}
            done = _define(document, key, section)
        else:
            key, _, rest = bare.partition("=")
            done = _define(section, key, _value(rest.strip(" \t")))
        if not done:
            return None
    return document


def _define(table: Table, key: str, value: object) -> bool:
    """Set `key`, dotted or not, to `value` below `table`. Return False if it is already set, not bare, or `value` is None."""
    *above, last = [name.strip(" \t") for name in key.split(".")]
    for name in above:
        below = table.setdefault(name, {})
        if not _is_bare(name) or not isinstance(below, dict):
            return False
        table = below
    if value is None or not _is_bare(last) or last in table:
        return False
    table[last] = value
    return True


def _is_bare(name: str) -> bool:
    return name != "" and KEY_LETTERS.issuperset(name)


def _header(line: str) -> str:
    """Return the key in a line `[key]`; "" if the line is not one."""
    key, closing, rest = line[1:].partition("]")
    return key if closing and _is_end(rest) else ""


def _is_end(rest: str) -> bool:
    return not rest or rest.strip(" \t")[:1] in ("", "#")


def _value(text: str) -> Plain | None:
    if text[:1] == '"':
        string, rest = _string(text)
        return string if _is_end(rest) else None
    if text[:1] == "[":
        return _strings(text[1:].lstrip(" \t"))
    word = text.partition("#")[0].rstrip(" \t")
    if word in WORDS:
        return WORDS[word]
    number = word.isascii() and word.isdigit() and len(word) <= DIGITS and (word == "0" or word[0] != "0")
    return int(word) if number else None


def _string(text: str) -> tuple[str | None, str]:
    """Return the string at the start of `text`, and the rest."""
    string, closing, rest = text[1:].partition('"')
    plain = closing and "\\" not in string and not (string == "" and rest[:1] == '"')
    return (string if plain else None), rest


def _strings(text: str) -> list[str] | None:
    """Return the strings up to the `]` at the end of `text`."""
    found: list[str] = []
    while text[:1] == '"':
        string, rest = _string(text)
        if string is None:
            return None
        found.append(string)
        text = rest.lstrip(" \t")
        if text[:1] != ",":
            break
        text = text[1:].lstrip(" \t")
    return found if text[:1] == "]" and _is_end(text[1:]) else None
