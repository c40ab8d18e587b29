"""How systemd reads PID 1's arguments: an old reader and a new one, and forms that both read alike.

Up to 252 systemd joins them with blanks and splits the result like a shell: it removes quotes and splits at blanks (proc_cmdline,
extract_first_word with EXTRACT_UNQUOTE|EXTRACT_RELAX|EXTRACT_RETAIN_ESCAPE). Later versions read each argument as it is
(proc_cmdline_strv). Measured with 252, 257 and 262: `python -m tests.measure environment`.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable

SETENV = "systemd.setenv="
QUOTES = ('"', "'")
BLANKS = " \t\n\r"  # systemd's WHITESPACE
LONGEST = (128 << 10) - 1  # bytes: MAX_ARG_STRLEN of execve(2), without the NUL at the end

_FIRST = frozenset("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz_")
_NAME = _FIRST | frozenset("0123456789")


def is_name(name: str) -> bool:
    """Return whether systemd accepts `name` as a variable's name (env_name_is_valid)."""
    return name[:1] in _FIRST and _NAME.issuperset(name)


def is_text(value: str) -> bool:
    """Return whether the old reader keeps `value` as it is: it escapes control characters other than tab and newline."""
    return value.isprintable() or not any(map(_is_changed, value))


def _is_changed(letter: str) -> bool:
    """Match C0, DEL and C1 (unichar_is_control), and code points that are not characters (unichar_is_valid)."""
    code = ord(letter)
    control = (code < 0x20 and letter not in "\t\n") or 0x7F <= code <= 0x9F
    return control or 0xD800 <= code <= 0xDFFF or 0xFDD0 <= code <= 0xFDEF or code & 0xFFFE == 0xFFFE


def form_of(name: str, value: str) -> tuple[str, ...]:
    """Return arguments from which both readers read this variable and nothing else; () if that is impossible.

    If the old reader would change the plain argument, it gets a quoted one, which the new reader ignores. The plain one for the new
    reader comes first, between two quotes: the old reader sees one word, which it does not know.
    """
    plain = f"{SETENV}{name}={value}"
    if not any(each in value for each in (*QUOTES, *BLANKS)):
        return (plain,)
    quote = next((each for each in QUOTES if each not in value), "")
    return (quote, plain, quote, f"{quote}{plain}{quote}") if quote else ()


def ends_within_quotes(args: Iterable[str]) -> bool:
    """Return whether the old reader would read a following argument as part of the last word."""
    return _split(" ".join(args))[1]


def words(args: Iterable[str]) -> list[str]:
    """Return the words that the old reader finds in these arguments."""
    return _split(" ".join(args))[0]


def _split(text: str) -> tuple[list[str], bool]:
    """Return the words, and whether a quote is open at the end."""
    found: list[str] = []
    word: list[str] | None = None
    quote = ""
    for letter in text:
        if letter == quote:
            quote = ""
        elif not quote and letter in BLANKS:
            found += ["".join(word)] if word is not None else []
            word = None
        elif not quote and letter in QUOTES:
            quote, word = letter, word or []
        else:
            word = word or []
            word.append(letter)
    return [*found, *(["".join(word)] if word is not None else [])], bool(quote)


def setenvs(args: Iterable[str]) -> dict[str, str]:
    """Return the variables that both readers find in `args` with the same value; the last one of a name counts."""
    if not any(SETENV in each for each in args):
        return {}
    old = _variables(words(args))
    return {name: value for name, value in _variables(args).items() if old.get(name) == value}


def _variables(args: Iterable[str]) -> dict[str, str]:
    pairs = (each[len(SETENV) :].partition("=") for each in args if each.startswith(SETENV))
    return {name: value for name, _, value in pairs}
