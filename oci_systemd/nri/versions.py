"""What a runtime's NRI supports, by the versions in its Configure call.

Law: an unreadable version counts as an old one, so edits that it might silently ignore are reported.
"""

from __future__ import annotations

import re

NUMBERS = re.compile(r"v?(\d+)\.(\d+)")
# ContainerAdjustment.args: since NRI 0.10, which sends its version only since 0.12; the first versions of the engines with it.
ARGS_SINCE = {"containerd": (2, 2), "cri-o": (1, 34)}
ARGS_SINCE_NRI = (0, 10)


def takes_args(runtime: str, version: str, nri: str) -> bool:
    """Return whether the runtime supports `ContainerAdjustment.args`. Older ones ignore it silently."""
    if nri:
        return numbers(nri) >= ARGS_SINCE_NRI
    since = ARGS_SINCE.get(runtime.lower())
    return since is not None and numbers(version) >= since


def numbers(version: str) -> tuple[int, ...]:
    """Return major and minor of a version; empty if there is none."""
    found = NUMBERS.match(version)
    return tuple(int(each[-9:]) for each in found.groups()) if found else ()
