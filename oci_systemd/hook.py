"""The podman hook (stage precreate): a config.json on stdin, the adjusted one on stdout, in the bundle's directory.

Law: what is not wanted goes out byte for byte. Every import is weighed: this starts for each container that podman creates,
with an empty environment, and podman shows nothing of our stderr (pkg/hooks/exec, runtimeconfigfilter.go), so that the log
says it too.
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
    """Adjust stdin to stdout. SystemExit with status 1, and our sentence on stderr, where the container must not start."""
    started = time.monotonic()
    settings = settings_file.load_or_default(settings_file.chosen(posix.environ))
    try:
        write_all(1, filtered(read_all(0), settings, started))
    except Problem as problem:
        fail(str(problem))
    except OSError as error:
        fail(f"the hook cannot read its stdin or write its stdout: {error.strerror}")


def filtered(data: bytes, settings: Settings, started: float) -> bytes:
    """The config.json `data`, adjusted where it is wanted. A Problem where the container must not start."""
    try:
        return adjusted(data, settings, started)
    except Problem:
        raise
    except Exception as error:
        write(fault(error), settings)
        return data


def adjusted(data: bytes, settings: Settings, started: float) -> bytes:
    config = bundle.decode(data, "config.json on stdin")
    # podman names no cgroup where it has the runtime make none (--cgroups=disabled).
    own_cgroup = bool(_cgroup_path(config.spec))
    container = container_of(config, container_id(config.spec), own_cgroup=own_cgroup)
    new: list[str] = []
    carry_out(config, container, ".", settings, started, new.append)
    return new[0].encode() if new else data


def container_id(spec: Json) -> str:
    """The container's ID, which podman names only in paths: its bundle is …/overlay-containers/ID/userdata, its cgroup
    …:libpod:ID or …/libpod-ID. An older podman does not call it in the bundle (pkg/hooks/exec, RunOptions.Dir)."""
    return id_in(_working_directory()) or id_in(_cgroup_path(spec))


def id_in(path: str) -> str:
    """The last word of `path` that is an ID, "" if there is none."""
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
    """End with our sentence on stderr."""
    try:
        write_all(2, f"oci-systemd: {sentence}\n".encode(errors="backslashreplace"))
    finally:
        raise SystemExit(1)
