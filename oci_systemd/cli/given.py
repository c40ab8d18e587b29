"""The options that `rewrite` and `explain` share, and the decision for a PATH.

Law: the options are read once for all paths.
"""

from __future__ import annotations

import os
import sys
from functools import partial, wraps
from pathlib import Path
from tomllib import TOMLDecodeError, loads
from typing import TYPE_CHECKING, Concatenate, ParamSpec

import click
from click.shell_completion import CompletionItem

from oci_systemd.core.annotations import KEYS
from oci_systemd.core.apply import apply
from oci_systemd.core.container import from_spec
from oci_systemd.core.edits import SetAnnotation
from oci_systemd.core.errors import Problem, SettingsError, SpecError
from oci_systemd.core.host import Host
from oci_systemd.core.paths import clean
from oci_systemd.core.settings import TABLE, Settings, mistake
from oci_systemd.host import bundle, settings_file
from oci_systemd.host.decide import decide
from oci_systemd.host.machine import seen, this_host

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from oci_systemd.core.adjust import Adjustment, Questions
    from oci_systemd.core.apply import Spec
    from oci_systemd.core.container import Container
    from oci_systemd.core.host import Root
    from oci_systemd.host.bundle import Config

P = ParamSpec("P")
STDIN = "-"
ORIGIN = "command line"


def pairs(option: str, texts: Iterable[str]) -> list[tuple[str, str]]:
    """Return the key and value of each KEY=VALUE of an option."""
    found = [text.partition("=") for text in texts]
    wrong = [key for key, equals, _ in found if not equals or not key]
    if wrong:
        raise Problem(f"{option} {wrong[0]!r}: no {'value' if wrong[0] else 'key'}; use {option} KEY=VALUE")
    return [(key, value) for key, _, value in found]


def value_of(key: str, text: str) -> object:
    """Return the value of `text` for the setting `key`: a TOML value, or the bare text; for a list also items between commas."""
    default = TABLE[key][0] if key in TABLE else None
    try:
        document = loads(f"value = {text}")
    except (TOMLDecodeError, RecursionError, ValueError):
        document = {}
    value = document.get("value") if len(document) == 1 else None
    if value is None or (isinstance(default, str) and not isinstance(value, str)):
        value = text
    if isinstance(default, list) and isinstance(value, str):
        return [item.strip() for item in value.split(",")] if value.strip() else []
    return value


def with_set(settings: Settings, texts: Iterable[str]) -> Settings:
    """Return `settings` with the values of --set; report all mistakes together."""
    values = {key: value_of(key, text) for key, text in pairs("--set", texts)}
    said = {key: mistake(key, value) for key, value in values.items()}
    wrong = [f"{text}{settings_file.nearest(key)}" for key, text in said.items() if text]
    if wrong:
        raise SettingsError(*wrong)
    return settings.but(values, ORIGIN) if values else settings


def chosen_file(own: str | None) -> str:
    """Return the settings file given on the command line, before or after the command; "" if there is none."""
    return own or click.get_current_context().obj or ""


def settings_from(own: str | None, texts: Iterable[str]) -> Settings:
    """Return the settings from file and command line. An invalid file is an error here only if the command line names it."""
    named = chosen_file(own)
    base = settings_file.load(named) if named else settings_file.load_or_default(settings_file.chosen(os.environb))
    return with_set(base, texts)


class Found:
    """One PATH and its decision. `spec` is the config's spec with the annotations of the command line."""

    __slots__ = ("adjustment", "config", "container", "spec")

    def __init__(self, config: Config, spec: Spec, container: Container, adjustment: Adjustment) -> None:
        self.config = config
        self.spec = spec
        self.container = container
        self.adjustment = adjustment

    def text(self) -> str:
        """Return the new config.json."""
        try:
            return self.config.patched(apply(self.spec, self.adjustment.edits))
        except SpecError as problem:
            raise bundle.unusable(self.config.path, problem) from None


class Given:
    """The values of the shared options, and the decision that follows from them."""

    __slots__ = ("annotations", "host", "id", "settings")

    def __init__(
        self,
        settings: Settings,
        id: str | None,
        annotations: Sequence[tuple[str, str]],
        host: Callable[[Root | None, Questions, str], Host],
    ) -> None:
        self.settings = settings
        self.id = id
        self.annotations = annotations
        self.host = host

    def find(self, path: str) -> Found:
        """Read PATH and decide. Raise a Problem that names PATH if it cannot be read; a refusal is the core's error."""
        file, folder = place(path)
        config = load(path, file)
        try:
            return self._decided(config, folder, self.id if self.id is not None else usual_id(path, folder))
        except SpecError as problem:
            raise bundle.unusable(config.path, problem) from None

    def _decided(self, config: Config, folder: str, id: str) -> Found:
        container = from_spec(config.spec, id)
        spec = config.spec if isinstance(config.spec, dict) else {}
        added = [SetAnnotation(*pair, "") for pair in self.annotations if container.annotations.get(pair[0]) != pair[1]]
        if added:
            spec = apply(spec, added)
            container = from_spec(spec, id)
        return Found(config, spec, container, decide(container, folder, self.settings, self.host))


def place(path: str) -> tuple[str, str]:
    """Return the config.json for PATH and its bundle's directory; with stdin the working directory, as for the runtime."""
    if path == STDIN:
        return "", "."
    if Path(path).is_dir():
        return str(Path(path, "config.json")), path
    return path, str(Path(path).parent)


def usual_id(path: str, folder: str) -> str:
    """Return the default ID: the name of the bundle's directory; "" with stdin."""
    return "" if path == STDIN else clean(str(Path(folder).absolute())).rpartition("/")[2]


def load(path: str, file: str) -> Config:
    if path != STDIN:
        return bundle.load(file)
    if sys.stdin is None:
        raise Problem("stdin is closed; pass a config.json on stdin, or a PATH")
    data = sys.stdin.buffer.read(bundle.LIMIT + 1)
    if len(data) > bundle.LIMIT:
        raise Problem(f"stdin: too large: the limit is {bundle.LIMIT} bytes")
    return bundle.decode(data, "stdin")


def _host(*, this: bool) -> Callable[[Root | None, Questions, str], Host]:
    """Return a function that makes the Host: this machine, read once, or a target with cgroup v2 and nsdelegate."""
    return partial(seen, this_host()) if this else lambda root, asked, bundle: Host(root=root)


def _complete(names: Iterable[str]) -> Callable[[click.Context, click.Parameter, str], list[CompletionItem]]:
    return lambda context, parameter, typed: [CompletionItem(f"{name}=") for name in names if name.startswith(typed)]


config_option = click.option(
    "--config", "own_config", type=click.Path(), metavar="FILE", help="Settings file to use instead of the default one."
)
set_option = click.option(
    "--set",
    "texts",
    multiple=True,
    metavar="KEY=VALUE",
    shell_complete=_complete(TABLE),
    help="Set one setting: TOML, a bare word, or a list separated by commas. May be repeated.",
)
OPTIONS = (
    click.option("--id", "id", metavar="ID", help="The container's ID (default: the name of the bundle's directory)."),
    click.option(
        "--annotation",
        "annotated",
        multiple=True,
        metavar="KEY=VALUE",
        shell_complete=_complete(KEYS),
        help="Add an annotation first; it is part of the result. May be repeated.",
    ),
    set_option,
    config_option,
    click.option(
        "--this-host",
        is_flag=True,
        help="Use this machine's cgroups and AppArmor; by default assume cgroup v2 with nsdelegate.",
    ),
)


def container_options(command: Callable[Concatenate[Given, P], None]) -> Callable[..., None]:
    """Add the shared options to `command`, and call it with their values."""

    @wraps(command)
    def with_given(
        id: str | None,
        annotated: tuple[str, ...],
        texts: tuple[str, ...],
        own_config: str | None,
        this_host: bool,
        *args: P.args,
        **rest: P.kwargs,
    ) -> None:
        settings = settings_from(own_config, texts)
        command(Given(settings, id, pairs("--annotation", annotated), _host(this=this_host)), *args, **rest)

    decorated: Callable[..., None] = with_given
    for option in reversed(OPTIONS):
        decorated = option(decorated)
    return decorated
