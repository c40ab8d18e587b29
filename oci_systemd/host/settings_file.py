"""The settings file: optional, in TOML, read only if a container may be wanted."""

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
MOST = 50  # reported mistakes of one file


def chosen(environ: Mapping[bytes, bytes]) -> str:
    """Return the settings file named in `environ`, else the default one."""
    return environ.get(VARIABLE.encode(), b"").decode(errors="surrogateescape") or USUAL


def load(path: str) -> Settings:
    """Return the settings in the file at `path`; the defaults if the default file does not exist. Raise a SettingsError with all
    mistakes, or a Shortage if there is no descriptor or memory to read it."""
    if path == USUAL and not _exists(path):
        return Settings()
    try:
        text = read_regular(path, LIMIT)[0].decode()
    except Shortage:
        raise
    except Problem as problem:
        raise SettingsError(f"settings file {problem}") from None
    except UnicodeDecodeError as error:
        raise SettingsError(f"settings file {path}: not UTF-8 at byte {error.start}") from None
    return parse(text, path)


def load_or_default(path: str) -> Settings:
    """Return the settings at `path`; if they are invalid, the defaults with the `problem` that makes a wanted container fail."""
    try:
        return load(path)
    except SettingsError as problem:
        return Settings(problem=problem)
    except Shortage as shortage:
        return Settings(problem=SettingsError(f"settings file {shortage}"))


def parse(text: str, path: str) -> Settings:
    """Return the settings in the TOML `text`, read from `path`."""
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
        raise SettingsError(f"settings file {path}: invalid TOML: {error}") from None


def _sentence(text: str, path: str, name: str, said: str) -> str:
    line = line_of(text, name)
    return f"settings file {path}{f', line {line}' if line else ''}: {said}{nearest(name)}"


def nearest(name: str) -> str:
    """Return "; did you mean …?" for an unknown setting, "" for a known one."""
    from difflib import get_close_matches

    if name in TABLE:
        return ""
    tables = {known.partition(".")[0] for known in TABLE} - {name}
    near = get_close_matches(name, [*TABLE, *tables], 1) or [known for known in TABLE if known.endswith("." + name)]
    return f"; did you mean {near[0]}?" if near else ""


def line_of(text: str, name: str) -> int:
    """Return the line, from 1, on which the TOML `text` sets `name`, a key below it, or its table's header; 0 if unknown."""
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
