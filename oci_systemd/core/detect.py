"""Decide whether a container's PID 1 is systemd. The first rule that matches decides, and gives the reason."""

from __future__ import annotations

from oci_systemd.core.annotations import CGROUP, WANTED, Annotations, key_for, quoted
from oci_systemd.core.errors import Refused
from oci_systemd.core.host import ELF
from oci_systemd.core.paths import DOTS, clean, follow, is_covered, places

TYPE_CHECKING = False
if TYPE_CHECKING:
    from oci_systemd.core.container import Container
    from oci_systemd.core.host import Root
    from oci_systemd.core.settings import Settings

INITS = ("/sbin/init", "/usr/sbin/init", "/usr/local/sbin/init", "/usr/bin/init", "/bin/init")
SHELLS = ("sh", "ash", "bash", "dash")
# Shell options that take the next word (POSIX, sh; bash(1), "Invocation"). In a cluster of letters, o and O do too.
SHELL_VALUES = ("--rcfile", "--init-file")
WITHOUT_EXEC = (
    "{0} starts {1} without exec: if the shell stays PID 1, as dash does, systemd exits (Explicit --user argument required); "
    'write "exec {1}"'
)
LEFT_ALONE = "left alone: "  # before the obstacle in a warning
LONGEST_SHOWN = 80
_WORD_ENDS = " \t\n;&|<>()"


class Verdict:
    """Whether the container is wanted, whether an annotation asked for it, the reason, and warnings."""

    __slots__ = ("asked", "reason", "wanted", "warnings")

    def __init__(self, wanted: bool, reason: str, *, asked: bool = False, warnings: tuple[str, ...] = ()) -> None:
        self.wanted = wanted
        self.reason = reason
        self.asked = asked
        self.warnings = warnings

    def but(self, obstacle: str) -> Verdict:
        """Return the verdict of a container that is left alone because of `obstacle`."""
        warnings = (*self.warnings, f"{LEFT_ALONE}{obstacle}")
        return Verdict(False, f"{self.reason}, but {obstacle}", warnings=warnings)


def command(args: tuple[str, ...]) -> str:
    """Return the program that these arguments start; for `sh -c "…"` the first word of the script, after `exec`."""
    script = shell_script(args)
    if script is None:
        return args[0] if args else ""
    word, rest = _first_word(script)
    return _first_word(rest)[0] if word == "exec" else word


def shell_script(args: tuple[str, ...]) -> str | None:
    """Return the script that a shell in these arguments runs with -c; None if there is none."""
    if not args or args[0].rpartition("/")[2] not in SHELLS:
        return None
    runs, rest = False, iter(args[1:])
    for word in rest:
        if word in ("--", "-") or word[:1] not in ("-", "+"):  # the end of the options
            script = next(rest, None) if word in ("--", "-") else word
            return script if runs else None
        if word.startswith("--"):
            values = word in SHELL_VALUES
        else:
            runs = runs or (word[0] == "-" and "c" in word)
            values = "o" in word or "O" in word
        if values:
            next(rest, None)
    return None


def has_exec(script: str) -> bool:
    """Return whether the script's first command replaces the shell."""
    return _first_word(script)[0] == "exec"


def located(program: str, cwd: str) -> str:
    """Return the cleaned path of `program`. A relative path starts at `cwd`, as for the kernel. A bare word, and a path that cannot
    be located, are returned unchanged."""
    if program.startswith("/"):
        return clean(program)
    if "/" not in program or not cwd or program.rpartition("/")[2] in DOTS:
        return program
    return clean(f"{cwd}/{program}")


def _first_word(script: str) -> tuple[str, str]:
    script = script.lstrip()
    quote = script[:1]
    if quote and quote in "'\"" and quote in script[1:]:
        word, _, rest = script[1:].partition(quote)
        return word, rest
    end = next((index for index, letter in enumerate(script) if letter in _WORD_ENDS), len(script))
    return script[:end], script[end:]


def looks_like_systemd(program: str, path: str, settings: Settings) -> str:
    """Return why `program`, `located` at `path`, counts as systemd by its name; "" if it does not."""
    shown = _shown(program)
    if path.rpartition("/")[2] == "systemd":
        return f"the command {shown} is named systemd"
    if path in INITS:
        return f"the command {shown} is an init"
    if any(path == (clean(name) if "/" in name else name) for name in settings.list("detect.commands")):
        return f"the command {shown} is listed in the setting detect.commands"
    return ""


def _shown(program: str) -> str:
    """Return `program` unquoted if it is short and printable, else quoted."""
    return program if len(program) <= LONGEST_SHOWN and program.isprintable() else quoted(program)


def asks_for_cgroup(annotations: Annotations) -> bool:
    return annotations.get(CGROUP) == "rw"


def detect(container: Container, annotations: Annotations, settings: Settings, root: Root | None) -> Verdict:
    """Return the Verdict. Raise Refused if the annotation that asks is invalid or cannot be met."""
    if container.is_sandbox:
        return Verdict(False, "it is a pod's sandbox")
    if WANTED in annotations.mistakes:
        raise Refused(*annotations.mistakes.values())
    name = key_for(container, WANTED)
    asked = annotations.get(WANTED)
    if asked == "false":
        return Verdict(False, f'annotation {name} is "false"')
    program = command(container.args)
    path = located(program, container.cwd)
    looks = looks_like_systemd(program, path, settings)
    if not container.has_private("pid"):
        strict = bool(looks) and settings.flag("detect.strict")
        return _without_pid_namespace(name, asked == "true", strict=strict, looks=looks, annotations=annotations)
    if asked == "true":
        return Verdict(True, f'annotation {name} is "true"', asked=True)
    if not looks:
        return Verdict(False, f"the command {quoted(program)} is not systemd" if program else "it has no command")
    other = _other_program(path, container, root)
    if other:
        reason = f"{_shown(program)} leads to {other}, a program that is not systemd"
        return Verdict(False, reason, warnings=(f'{reason}; if it is systemd, set annotation {WANTED} to "true"',))
    script = shell_script(container.args)
    shell = script is not None and not has_exec(script)
    return Verdict(
        True, looks, warnings=(WITHOUT_EXEC.format(_shown(container.args[0]), _shown(program)),) if shell else ()
    )


def _without_pid_namespace(name: str, asked: bool, *, strict: bool, looks: str, annotations: Annotations) -> Verdict:
    reason = "the container has no private PID namespace: systemd would not be PID 1"
    if asked:
        raise Refused(
            f'annotation {name} is "true", but {reason}; give the pod or container its own PID namespace',
            *annotations.mistakes.values(),
        )
    if strict:
        raise Refused(strictly(f"{looks}, but {reason}; give the pod or container its own PID namespace"))
    return Verdict(False, reason, warnings=(f"{looks}, but {reason}",) if looks else ())


def strictly(sentence: str) -> str:
    """Return the sentence for a container that the setting detect.strict refuses: the cause, and how to start it anyway."""
    return f'{sentence}, or set annotation {WANTED} to "false" (the setting detect.strict is true on this node)'


def _other_program(path: str, container: Container, root: Root | None) -> str:
    """Return the ELF program other than systemd that an init's path leads to; "" if there is none, or it is unknown."""
    if root is None or path not in INITS:
        return ""
    covered = places([mount.destination for mount in container.mounts], root.links)
    place = follow(path, root.links, covered)
    if is_covered(place, covered):
        return ""
    return place if root.files.get(place) == ELF and place.rpartition("/")[2] != "systemd" else ""
