"""The demo's output: plain words in columns, in colour only on a terminal and without NO_COLOR."""

import os
import sys

WIDTH = 32
COLOURS = {"bold": "1", "dim": "2", "red": "31", "green": "32"}
COLOURED = sys.stdout.isatty() and not os.environ.get("NO_COLOR")


class Broken(Exception):
    """The demo cannot go on, or a check failed: a sentence for people."""


def paint(text: str, colour: str) -> str:
    return f"\033[{COLOURS[colour]}m{text}\033[0m" if COLOURED else text


def say(text: str = "") -> None:
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


def title(text: str) -> None:
    say(f"\n{paint(text, 'bold')}")


def command(*words: str) -> None:
    say(f"  {paint('$ ' + ' '.join(words), 'bold')}")


def quote(text: str) -> None:
    for line in text.splitlines():
        say(f"  {paint('|', 'dim')} {line}")


def fact(name: str, value: str) -> None:
    say(f"  {name:<{WIDTH}}{value}")


class Promises:
    """The demo's checks: each is printed with its result, and failures are collected."""

    def __init__(self) -> None:
        self.broken: list[str] = []

    def show(self, name: str, value: str, *, kept: bool) -> None:
        say(f"  {paint('yes', 'green') if kept else paint('NO ', 'red')} {name:<{WIDTH - 4}}{value}")
        if not kept:
            self.broken.append(name)

    def settle(self) -> None:
        if self.broken:
            raise Broken(f"failed checks: {', '.join(self.broken)}")
