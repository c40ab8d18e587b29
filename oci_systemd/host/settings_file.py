"""The settings file: TOML, read only where a container may be wanted. None needs to exist."""

from __future__ import annotations

import posix

from oci_systemd.core.errors import Problem, SettingsError, Shortage
from oci_systemd.core.settings import TABLE, Settings, flattened, mistake
from oci_systemd.host.files import read_regular
from oci_systemd.host.plain_toml import read

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping

USUAL = "/etc/oci-systemd/config.toml"
VARIABLE = "OCI_SYSTEMD_CONFIG"
LIMIT = 1 << 20
MOST = 50  # mistakes of one file that are told each with its line


def chosen(environ: Mapping[bytes, bytes]) -> str:
    """The settings file that this environment names, else the usual one."""
    return environ.get(VARIABLE.encode(), b"").decode(errors="surrogateescape") or USUAL


def load(path: str) -> Settings:
    """The settings in the file at `path`, the defaults where the usual one is not there. A SettingsError tells all mistakes; a
    Shortage, that it could not be looked at."""
    if path == USUAL and not _exists(path):
        return Settings()
    try:
        text = read_regular(path, LIMIT)[0].decode()
    except Shortage:
        raise
    except Problem as problem:
        raise SettingsError(f"settings file {problem}") from None
    except UnicodeDecodeError as error:
        raise SettingsError(f"settings file {path} is not UTF-8 at byte {error.start}") from None
    return parse(text, path)


def load_or_default(path: str) -> Settings:
    """The settings at `path`; where they are broken, the defaults with the `problem` that a wanted container fails with."""
    try:
        return load(path)
    except SettingsError as problem:
        return Settings(problem=problem)
    except Shortage as shortage:
        return Settings(problem=SettingsError(f"settings file {shortage}"))


def parse(text: str, path: str) -> Settings:
    """The settings that the TOML `text`, read from `path`, holds."""
    document = read(text)
    values = flattened(document if document is not None else _by_tomllib(text, path))
    wrong = {name: said for name, value in values.items() if (said := mistake(name, value))}
    if wrong:
        told = [_sentence(text, path, name, said) for name, said in [*wrong.items()][:MOST]]
        raise SettingsError(*told, *([f"and {len(wrong) - MOST} more"] if len(wrong) > MOST else []))
    return Settings(values, origin=path)


def _by_tomllib(text: str, path: str) -> dict[str, object]:
    from tomllib import TOMLDecodeError, loads

    try:
        return loads(text)
    except (TOMLDecodeError, RecursionError, ValueError) as error:
        raise SettingsError(f"settings file {path} is no TOML: {error}") from None


def _sentence(text: str, path: str, name: str, said: str) -> str:
    line = line_of(text, name)
    return f"settings file {path}{f', line {line}' if line else ''}: {said}{nearest(name)}"


def nearest(name: str) -> str:
    """The question after the name of a setting that there is not, "" after one that there is."""
    from difflib import get_close_matches

    if name in TABLE:
        return ""
    tables = {known.partition(".")[0] for known in TABLE} - {name}
    near = get_close_matches(name, [*TABLE, *tables], 1) or [known for known in TABLE if known.endswith("." + name)]
    return f"; did you mean {near[0]}?" if near else ""


def line_of(text: str, name: str) -> int:
    """The line, from 1, on which the TOML `text` gives `name`, a key below it, or its table's header; 0 if it cannot be told."""
    table = ""
    for number, line in enumerate(text.splitlines(), start=1):
        bare = line.strip()
        if bare.startswith("["):
            table = _bare(bare.strip("[]").partition("]")[0]) + "."
            if table == name + ".":
                return number
        elif "=" in bare and f"{table.lstrip('.')}{_bare(bare.partition('=')[0])}.".startswith(name + "."):
            return number
    return line_of(text, name.rpartition(".")[0]) if "." in name else 0  # an inline table: tmpfs = { size = "1m" }


def _bare(key: str) -> str:
    return ".".join(part.strip().strip("\"'") for part in key.split("."))


def _exists(path: str) -> bool:
    try:
        posix.lstat(path)
    except FileNotFoundError:
        return False
    except OSError:
        return True
    return True
