"""The spellings of signals, and when a `kill` may be translated."""

from __future__ import annotations

import pytest

from oci_systemd.core.signals import Status, is_signal, is_term, number

NUMBERS = {
    "15": 15, "015": 15, "00000000015": 15, "TERM": 15, "sigterm": 15, "Term": 15, "SIGKILL": 9, "9": 9, "64": 64,
    "SIGRTMIN+3": 37, "rtmin+3": 37, "SIGRTMINPLUS3": 37, "RTMIN": 34, "SIGRTMAX": 64, "RTMAX-2": 62, "SIGRTMAXMINUS14": 50,
    "PWR": 30, "SIGCLD": 17, "SYS": 31,
    "0": None, "65": None, "115": None, "10015": None, "": None, "-15": None, "SIG": None, "SIGFOO": None, "RTMIN+31": None,
    "RTMIN-1": None, "RTMAX+1": None, "RTMIN+": None, "RTMIN+٣": None, "١٥": None, " 15": None, "15\n": None, "9" * 5000: None,
}  # fmt: skip


@pytest.mark.parametrize(("text", "expected"), NUMBERS.items(), ids=[ascii(text)[:20] for text in NUMBERS])
def test_number(text: str, expected: int | None) -> None:
    assert number(text) == expected


@pytest.mark.parametrize(
    ("text", "good"), [("none", True), ("NONE", True), ("SIGRTMIN+3", True), ("37", True), ("", False), ("no", False)]
)
def test_stop_signal_is_a_signal_or_none(text: str, good: bool) -> None:
    assert is_signal(text) is good


TERMS = [
    ((), True),
    (("",), True),
    (("15",), True),
    (("0015",), True),
    (("sigTERM",), True),
    (("9",), False),
    (("37",), False),
]


@pytest.mark.parametrize(("words", "term"), [*TERMS, (("15", "15"), False), (("KILL",), False), (("TERM ",), False)])
def test_term(words: tuple[str, ...], term: bool) -> None:
    assert is_term(words) is term


# /proc/PID/status, copied from: systemd 252 and 257, runc's own init, an init that catches
SYSTEMD_252 = "Name:\tsystemd\nSigBlk:\t7fe3c0fe28014a03\nSigIgn:\t0000000000001000\nSigCgt:\t00000000000004ec\n"
SYSTEMD_257 = "Name:\tsystemd\nSigBlk:\t7fefc1fe28014a03\nSigIgn:\t0000000000001000\nSigCgt:\t00000000000004ec\n"
RUNC_INIT = "Name:\trunc:[2:INIT]\nSigBlk:\t0000000000000000\nSigCgt:\tfffffffd7fc1feff\n"
CATCHER = "Name:\tinit\nSigBlk:\t0000000000000000\nSigCgt:\t0000000020004000\n"
BARE = "Name:\tsleep\nSigBlk:\t0000000000000000\nSigCgt:\t0000000000000000\n"

READY = {
    "systemd 252": (SYSTEMD_252, 37, True),
    "systemd 257": (SYSTEMD_257, 37, True),
    "runc's init": (RUNC_INIT, 37, False),
    "runc's init, other signal": (RUNC_INIT, 30, False),
    "catcher, default signal": (CATCHER.replace("20004000", "1020004000"), 37, False),
    "catcher, its own": (CATCHER, 30, True),
    "catcher, another": (CATCHER, 12, False),
    "bare": (BARE, 37, False),
    "nothing": ("", 37, False),
    "garbage": ("SigBlk:\tzz\n", 37, False),
}


@pytest.mark.parametrize(("text", "signal", "ready"), READY.values(), ids=READY)
def test_init_awaits_what_it_blocks_or_another_signal_that_it_catches(text: str, signal: int, ready: bool) -> None:
    assert Status(text).awaits(signal, "runc") is ready
