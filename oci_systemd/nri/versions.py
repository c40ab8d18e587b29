"""What a runtime's NRI can do, by the versions that it tells at Configure.

Law: a version that cannot be read is an old one: what it might ignore in silence is reported.
"""

from __future__ import annotations

import re

NUMBERS = re.compile(r"v?(\d+)\.(\d+)")
# ContainerAdjustment.args: since NRI 0.10, which says its version only since 0.12; the engines' first versions that have it.
ARGS_SINCE = {"containerd": (2, 2), "cri-o": (1, 34)}
ARGS_SINCE_NRI = (0, 10)


def takes_args(runtime: str, version: str, nri: str) -> bool:
    """Return whether the runtime acts on `ContainerAdjustment.args`. Older ones ignore it without a word."""
    if nri:
        return numbers(nri) >= ARGS_SINCE_NRI
    since = ARGS_SINCE.get(runtime.lower())
    return since is not None and numbers(version) >= since


def numbers(version: str) -> tuple[int, ...]:
    """Return major and minor of a version; nothing where it has none."""
    found = NUMBERS.match(version)
    return tuple(int(each[-9:]) for each in found.groups()) if found else ()
