"""Append arguments to systemd's command line if an annotation asks for it; loaded only then.

In a container systemd reads PID 1's arguments as a kernel command line (systemd, proc-cmdline.c).
Law: a variable is appended only in a form that old and new systemd read alike; a value is never shown.
"""

from __future__ import annotations

from oci_systemd.core import annotations as a
from oci_systemd.core import edits as e
from oci_systemd.core.command_line import LONGEST, SETENV, ends_within_quotes, form_of, is_name, is_text, setenvs
from oci_systemd.core.detect import located, looks_like_systemd, shell_script
from oci_systemd.core.rules import Kept, Warn

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from oci_systemd.core.case import Case
    from oci_systemd.core.rules import Finding

FORWARD = "systemd.journald.forward_to_console"  # journald.conf(5)
# Arguments for a readable log, each with its reason (kernel-command-line(7), systemd-getty-generator(8)).
CONSOLE_ARGUMENTS = {
    FORWARD: ("1", "journald writes each entry to the console, which the engine keeps as the container's log"),
    "systemd.show_status": ("0", "otherwise each start and stop appears in the log twice, once in colours"),
    "systemd.getty_auto": ("0", "otherwise a login prompt appears in the log"),
}
PLAIN_TERM = "dumb"
ENGINES_TERM = ["xterm"]  # set by containerd, CRI-O, Docker and podman in a container with a terminal

# Variables for PID 1 alone, for the runtime, or for the protocol between systemd and a service.
NEVER = frozenset(
    ("PATH", "HOME", "TERM", "HOSTNAME", "container", "container_uuid", "CREDENTIALS_DIRECTORY", "NOTIFY_SOCKET")
)
NEVER_PREFIX = "LISTEN_"
MOST_VARIABLES = 4096
MOST = 1 << 20  # bytes in all: half of what execve(2) takes with the usual stack of 8 MiB
EACH = 9  # extra bytes for each string: its final NUL, and a pointer


def arguments(case: Case) -> Iterator[Finding]:
    """Yield the findings for the annotations CONSOLE and ENVIRONMENT."""
    asked = [key for key in FOUND if key in case.annotations.values]
    lost = _unreadable(case)
    for key in asked:
        if lost:
            yield Warn(f"annotation {a.key_for(case.container, key)} has no effect: {lost}")
        else:
            yield from FOUND[key](case)


def _unreadable(case: Case) -> str:
    """Return why systemd would not read appended arguments; "" if it would."""
    container = case.container
    program = container.args[0] if container.args else ""
    own = looks_like_systemd(program, located(program, container.cwd), case.settings)
    if not own or shell_script(container.args) is not None:
        return f"the command {a.quoted(program)} is not systemd itself, and may not pass arguments on"
    if ends_within_quotes(container.args):
        return "unclosed quote in the arguments: systemd 252 would read everything after it as one word; close it"
    return ""


def _console(case: Case) -> Iterator[Finding]:
    container = case.container
    if container.terminal is False:
        name = a.key_for(container, a.CONSOLE)
        yield Warn(f"annotation {name} has no effect without a terminal: add tty: true (docker and podman: --tty)")
    given = {each.partition("=")[0] for each in container.args}
    for key, (value, why) in CONSOLE_ARGUMENTS.items():
        if key in given:
            yield Kept(f"argument {key}", "already set")
        else:
            yield e.AppendArguments((f"{key}={value}",), why)
    if container.terminal is not False:
        yield from _term(case)


def _term(case: Case) -> Iterator[Finding]:
    """systemd writes colours, and since 257 terminal resets, unless TERM is dumb (terminal-util.c)."""
    if case.env("TERM")[-1:] in ([], ENGINES_TERM):
        yield e.SetEnv("TERM", PLAIN_TERM, "otherwise systemd writes colours and escape sequences into the log")
    else:
        yield Kept("environment TERM", "already set")


def _environment(case: Case) -> Iterator[Finding]:
    container = case.container
    if len(container.env) > MOST_VARIABLES:
        yield Warn(f"no variable reaches the services: the container has more than {MOST_VARIABLES}")
        return
    variables = _variables(container.env)
    patterns = a.split_names(case.annotations.get(a.ENVIRONMENT))
    yield from _missed(patterns, variables)
    there, room = setenvs(container.args), MOST - _size((*container.args, *container.env))
    for name, value in variables.items():
        if _is_private(name) or not any(a.is_like(name, each) for each in patterns):
            continue
        if there.get(name) == value:
            yield Kept(f"argument {SETENV}{name}", "already set")
            continue
        why, form = _carried(name, value, room)
        room -= _size(form)
        if why:
            yield Warn(f"variable {a.quoted(name)} does not reach the services: {why}")
        else:
            yield e.AppendArguments(form, "passes the variable to the services", f"{SETENV}{name}=…")


def _variables(env: tuple[str, ...]) -> dict[str, str]:
    """Return each variable's value; if a name is repeated, the last one counts."""
    pairs = (each.partition("=") for each in env)
    return {name: value for name, equals, value in pairs if equals}


def _is_private(name: str) -> bool:
    return name in NEVER or name.startswith(NEVER_PREFIX)


def _missed(patterns: list[str], variables: dict[str, str]) -> Iterator[Warn]:
    """Yield a warning for each name that is written out but matches no variable."""
    for name in patterns:
        if "*" not in name and _is_private(name):
            yield Warn(f"variable {name} does not reach the services: it is reserved for PID 1")
        elif "*" not in name and name not in variables:
            yield Warn(f"variable {name} does not reach the services: the container does not have it")


def _size(strings: tuple[str, ...]) -> int:
    return sum(len(each.encode(errors="surrogatepass")) + EACH for each in strings)


def _carried(name: str, value: str, room: int) -> tuple[str, tuple[str, ...]]:
    """Return why the variable cannot be passed ("" if it can), and the arguments that pass it."""
    if not is_name(name):
        return "systemd allows letters, digits and _ in a name, and no digit first", ()
    if len(value) > min(room, LONGEST):
        return TOO_LONG, ()
    if not is_text(value):
        return "its value has control characters, which systemd 252 would change", ()
    form = form_of(name, value)
    if not form:
        return "its value has both kinds of quotes, which systemd 252 would remove", ()
    too_long = _size(form) > room or _size(form[-1:]) - EACH > LONGEST
    return (TOO_LONG, ()) if too_long else ("", form)


TOO_LONG = f"too long: at most {(LONGEST + 1) >> 10} KiB for one argument, and {MOST >> 20} MiB for all arguments and variables"
FOUND = {a.CONSOLE: _console, a.ENVIRONMENT: _environment}
