"""What an engine is to be given."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from oci_systemd.core.errors import Problem

if TYPE_CHECKING:
    from collections.abc import Mapping

HANDLER = re.compile(r"[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?")  # as a RuntimeClass names it: a DNS label (RFC 1123)


@dataclass(frozen=True, slots=True)
class Wanted:
    """A handler of this name that calls `binary`, behind which is the real `runtime`, both by full path.

    `default`: it becomes the engine's default. `hooks`: the folder of our podman hook, "" where it is not asked for. `like`: the
    node's default handler as the engine itself says, None where only its files do.
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
                f"{self.handler!r} is no name for a handler: up to 63 of a-z, 0-9 and -, as in a RuntimeClass"
            )
        for path in (self.binary, self.runtime, self.hooks):
            if path and not (path.startswith("/") and path.isprintable()):
                raise Problem(f"{path!r} is no full path of printable letters")
