"""The handler that an engine gets."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from oci_systemd.core.errors import Problem

if TYPE_CHECKING:
    from collections.abc import Mapping

HANDLER = re.compile(r"[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?")  # as in a RuntimeClass: a DNS label (RFC 1123)


@dataclass(frozen=True, slots=True)
class Wanted:
    """A handler that calls `binary`, which calls the real `runtime`; both are absolute paths.

    `default`: make it the engine's default. `hooks`: the directory of our podman hook, "" without it. `like`: the node's default
    handler as reported by the engine, None if only its files were read.
    """

    handler: str
    binary: str
    runtime: str
    default: bool = False
    hooks: str = ""
    like: Mapping[str, Any] | None = None

    def __post_init__(self) -> None:
        if not HANDLER.fullmatch(self.handler):
            raise Problem(
                f"handler name {self.handler!r}: invalid; use up to 63 of a-z, 0-9 and -, as in a RuntimeClass"
            )
        for path in (self.binary, self.runtime, self.hooks):
            if path and not (path.startswith("/") and path.isprintable()):
                raise Problem(f"path {path!r}: invalid; use an absolute path of printable letters")
