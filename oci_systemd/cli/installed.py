"""Where the launcher is: beside this package, as `make install` puts both, or where it usually is."""

from __future__ import annotations

from pathlib import Path

import oci_systemd
from oci_systemd.engines.launcher import NAME
from oci_systemd.host import versions

LIB = ("lib", "oci-systemd", "oci_systemd")  # below the prefix
USUAL = ("/usr/local/bin", "/usr/bin", "/opt/oci-systemd/bin")


def launchers() -> list[str]:
    """Full paths where the launcher may be, the likeliest first; of a self-contained tree its only one."""
    own = versions.own()
    if own:
        return [own.launcher]
    package = Path(oci_systemd.__file__).parent
    beside = [str(package.parents[2] / "bin")] if package.parts[-3:] == LIB else []
    return [f"{folder}/{NAME}" for folder in dict.fromkeys((*beside, *USUAL))]
