"""The podman hook (stage precreate): it reads a config.json on stdin and writes the adjusted one to stdout.

Law: a config.json that is not wanted is written back byte for byte. Imports are limited: the hook starts for each container that
podman creates, in the bundle's directory, with an empty environment. podman does not show the hook's stderr (pkg/hooks/exec,
runtimeconfigfilter.go); the log has each message too.
"""

from __future__ import annotations

import posix
import time

from oci_systemd.core.errors import Problem
from oci_systemd.core.machine_id import HEX
from oci_systemd.host import bundle, settings_file
from oci_systemd.host.decide import carry_out, container_of, fault
from oci_systemd.host.files import read_all, write_all
from oci_systemd.host.log import write

TYPE_CHECKING = False
if TYPE_CHECKING:
    from oci_systemd.core.json_text import Json
    from oci_systemd.core.settings import Settings

ID_LENGTH = 64  # hex digits; podman's and Docker's IDs


def main() -> None:
    """Adjust stdin to stdout. If the container must not start, print a sentence to stderr and exit with status 1."""
    started = time.monotonic()
    settings = settings_file.load_or_default(settings_file.chosen(posix.environ))
    try:
        write_all(1, filtered(read_all(0), settings, started))
    except Problem as problem:
        fail(str(problem))
    except OSError as error:
        fail(f"the hook cannot read stdin or write stdout: {error.strerror}")


def filtered(data: bytes, settings: Settings, started: float) -> bytes:
    """Return the config.json `data`, adjusted if it is wanted. Raise a Problem if the container must not start."""
    try:
        return adjusted(data, settings, started)
    except Problem:
        raise
    except Exception as error:
        write(fault(error), settings)
        return data


def adjusted(data: bytes, settings: Settings, started: float) -> bytes:
    config = bundle.decode(data, "config.json on stdin")
    # With --cgroups=disabled podman sets no cgroupsPath, and the runtime creates no cgroup.
    own_cgroup = bool(_cgroup_path(config.spec))
    container = container_of(config, container_id(config.spec), own_cgroup=own_cgroup)
    new: list[str] = []
    carry_out(config, container, ".", settings, started, new.append)
    return new[0].encode() if new else data


def container_id(spec: Json) -> str:
    """Return the container's ID, which podman has only in paths: the bundle …/overlay-containers/ID/userdata, the cgroup
    …:libpod:ID or …/libpod-ID. Older versions of podman do not run the hook in the bundle (pkg/hooks/exec, RunOptions.Dir)."""
    return id_in(_working_directory()) or id_in(_cgroup_path(spec))


def id_in(path: str) -> str:
    """Return the last word of `path` that is an ID, "" if there is none."""
    words = path.replace(":", "/").replace("-", "/").replace(".", "/").split("/")
    return next((word for word in reversed(words) if len(word) == ID_LENGTH and HEX.issuperset(word)), "")


def _working_directory() -> str:
    try:
        return posix.getcwd()
    except OSError:
        return ""


def _cgroup_path(spec: Json) -> str:
    linux = spec.get("linux") if isinstance(spec, dict) else None
    path = linux.get("cgroupsPath") if isinstance(linux, dict) else None
    return path if isinstance(path, str) else ""


def fail(sentence: str) -> None:
    """Print a sentence to stderr and exit with status 1."""
    try:
        write_all(2, f"oci-systemd: {sentence}\n".encode(errors="backslashreplace"))
    finally:
        raise SystemExit(1)
