"""The runtime's command line. Any words give an Invocation or None, nothing else, and of an Invocation no word is lost.

An input is the words, with NUL between them.
"""

from __future__ import annotations

from collections import Counter

import atheris  # type: ignore[import-untyped]

with atheris.instrument_imports(include=["oci_systemd"]):
    from oci_systemd.core import argv, signals

from tests.core.build import resent
from tests.fuzz.run import run

SEEDS = [
    "create --bundle /b --pid-file /p ID",
    "--root /r --log /l --log-format json create --bundle=/b --console-socket /c ID",
    "--systemd-cgroup run -b /b -d ID",
    "run -b=/b --no-pivot ID --keep",
    "kill ID TERM",
    "kill --all ID 9",
    "--debug kill ID",
    "kill -- ID 15",
    "create -bDIR -f config ID",
    "--help create",
    "state ID",
    "exec ID create",
]


def check(data: bytes) -> None:
    words = data.decode(errors="surrogateescape").split("\0")
    invocation = argv.parse(words)
    if invocation is None:
        return
    globals = [word for option in invocation.globals for word in option.words]
    options = [word for option in invocation.options for word in option.words]
    kept = Counter([*globals, invocation.command, *options, *invocation.words])
    assert kept <= Counter(words)
    assert set(Counter(words) - kept) <= {"--"}
    assert invocation.bundle
    assert invocation.config
    assert isinstance(invocation.state_call(), list)
    if invocation.command == "kill" and invocation.id:
        again = argv.parse(resent(words, invocation))
        assert again
        assert again.words == [invocation.id, *invocation.words[1:-1], "37"]
    signals.is_term(tuple(invocation.words[1:]))


def main() -> None:
    names = {*argv.GLOBAL, *(name for table in argv.COMMANDS.values() for name in table), *argv.HELP}
    words = [
        *argv.COMMANDS,
        *(f"--{name}" for name in names),
        *(f"-{name}=" for name in names),
        "\0",
        "--",
        "TERM",
        "15",
    ]
    run(check, (seed.replace(" ", "\0").encode() for seed in SEEDS), sorted(words))


if __name__ == "__main__":
    main()
