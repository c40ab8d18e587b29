"""Read signals as people and engines write them, and decide whether a `kill` may be translated.

Numbers are those of Linux and runc on every architecture except MIPS and SPARC: SIGRTMIN is 34 (glibc).
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping

# `kill` recognizes an adjusted container by both annotations, since a pod's annotation also reaches its sidecars.
ADJUSTED = "io.systemd.container.adjusted"
STOP_SIGNAL = "io.systemd.container.stop-signal"

TERM = 15
RTMIN, RTMAX = 34, 64
NAMES = {
    name: number
    for number, name in enumerate(
        "HUP INT QUIT ILL TRAP ABRT BUS FPE KILL USR1 SEGV USR2 PIPE ALRM TERM STKFLT CHLD CONT STOP TSTP TTIN TTOU URG "
        "XCPU XFSZ VTALRM PROF WINCH IO PWR SYS".split(),
        start=1,
    )
} | {"IOT": 6, "CLD": 17, "POLL": 29, "RTMIN": RTMIN, "RTMAX": RTMAX}
DEFAULT = RTMIN + 3  # systemd(1), "Signals": starts halt.target


def number(text: str) -> int | None:
    """Return the number of a signal: `37`, `SIGRTMIN+3`, `rtmin+3`, `SIGRTMINPLUS3` (Kubernetes' constant); None if invalid."""
    if not text.isascii():  # upper() turns the long s into S
        return None
    word = text.upper()
    if word.isdigit():
        value = int(word[-4:]) if not word[:-4].strip("0") else 0
        return value if 0 < value <= RTMAX else None
    word = word.removeprefix("SIG").replace("PLUS", "+").replace("MINUS", "-")
    for base, sign, first in (("RTMIN", "+", RTMIN), ("RTMAX", "-", RTMAX)):
        offset = word.removeprefix(base + sign)
        if offset != word and offset.isdigit() and len(offset) < 3:
            value = first + int(offset) if sign == "+" else first - int(offset)
            return value if RTMIN <= value <= RTMAX else None
    return NAMES.get(word)


def name(signal: int) -> str:
    """Return the name as systemd writes it (systemd, signal-util.c): real-time signals count from SIGRTMIN."""
    if RTMIN <= signal <= RTMAX:
        return f"SIGRTMIN+{signal - RTMIN}"
    return next((f"SIG{known}" for known, value in NAMES.items() if value == signal), str(signal))


def is_signal(text: str) -> bool:
    """Return whether `text` is a valid stop signal: a name, a number, or `none` (never translate)."""
    return text.lower() == "none" or number(text) is not None


def is_term(words: tuple[str, ...]) -> bool:
    """Return whether these words after the ID of a `kill` mean SIGTERM: no word (runc's default), or its name or number."""
    return not any(words) or (len(words) == 1 and number(words[0]) == TERM)


def recorded(annotations: Mapping[str, str]) -> int | None:
    """Return the signal that replaces SIGTERM for a container with these annotations; None if SIGTERM is kept."""
    return number(annotations.get(STOP_SIGNAL, "")) if annotations.get(ADJUSTED) else None


class Status:
    """The values in /proc/PID/status that matter here: `comm`, and the masks of blocked and caught signals."""

    __slots__ = ("blocked", "caught", "comm")

    def __init__(self, text: str) -> None:
        fields = dict(line.split(":", 1) for line in text.split("\n") if ":" in line)
        self.comm = fields.get("Name", "").strip()
        self.blocked = _mask(fields.get("SigBlk", ""))
        self.caught = _mask(fields.get("SigCgt", ""))

    def awaits(self, signal: int, runtime: str) -> bool:
        """Return whether this PID 1 is ready for `signal`.

        systemd blocks its signals and reads them from a descriptor (measured: 252 to 262, a few ms after exec). Another init may
        catch its stop signal. The runtime's own init (`runc:[2:INIT]`, comm of `runtime`) catches nearly all and never counts.
        """
        bit = 1 << (signal - 1)
        if self.blocked & bit:
            return True
        own = self.comm in (runtime[:15], "exe") or self.comm.startswith("runc:[")
        return signal != DEFAULT and bool(self.caught & bit) and not own


def _mask(text: str) -> int:
    try:
        return int(text, 16)
    except ValueError:
        return 0
