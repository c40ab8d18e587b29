"""The demo's requirements: a root file system with systemd, a runtime, and cgroup v2. Nothing on the machine is changed."""

import os
import platform
import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

from screen import Broken, say

CACHE = Path("/var/cache/oci-systemd")
INCLUDE = "systemd,systemd-sysv,dbus,procps"
CGROUP = Path("/sys/fs/cgroup")


def runtime() -> Path:
    found = shutil.which("runc", path=os.environ.get("PATH", "") + ":/usr/sbin:/sbin")
    if not found:
        raise Broken("runc: not found; run: apt-get install runc")
    return Path(found)


def root_file_system() -> Path:
    """Make a minimal system of this machine's release, once, from its package sources."""
    release = platform.freedesktop_os_release()
    suite = release.get("VERSION_CODENAME", "")
    tree = CACHE / f"demo-{suite}"
    if not tree.exists():
        say(f"Making a root file system of {release['PRETTY_NAME']} with systemd in '{tree}', kept for the next time …")
        bootstrap(suite, tree)
    return tree


def bootstrap(suite: str, tree: Path) -> None:
    if not shutil.which("mmdebstrap"):
        raise Broken("mmdebstrap: not found; run: apt-get install mmdebstrap")
    beside = tree.with_name(f".{tree.name}.new")
    if beside.exists():
        shutil.rmtree(beside)
    CACHE.mkdir(parents=True, exist_ok=True)
    words = ["mmdebstrap", "--quiet", "--variant=minbase", f"--include={INCLUDE}", suite, str(beside), mirror(suite)]
    done = subprocess.run(words, env=os.environ | {"TMPDIR": str(CACHE)}, capture_output=True, text=True)
    if done.returncode:
        raise Broken(f"mmdebstrap: cannot make a root file system of '{suite}':\n{done.stderr.strip()}")
    beside.rename(tree)


def mirror(suite: str) -> str:
    """Return this machine's apt source of SUITE (sources.list(5), both forms)."""
    places = [Path("/etc/apt/sources.list"), *sorted(Path("/etc/apt/sources.list.d").glob("*"))]
    for place in filter(Path.is_file, places):
        for source, suites in sources(place.read_text()):
            if suite in suites:
                return source
    raise Broken(f"apt source of '{suite}': not found; run the demo on Debian or Ubuntu")


def sources(text: str) -> Iterator[tuple[str, list[str]]]:
    for one_line in re.finditer(r"(?m)^deb\s+(?:\[[^\]]*\]\s+)?(\S+)\s+(\S+)", text):
        yield one_line[1], [one_line[2]]
    for stanza in re.split(r"\n\s*\n", text):
        fields = dict(re.findall(r"(?m)^(URIs|Suites):\s*(.+?)\s*$", stanza))
        if fields.keys() == {"URIs", "Suites"}:
            yield fields["URIs"].split()[0], fields["Suites"].split()


def show_cgroup_v2() -> str:
    """Make cgroup v2 available at /sys/fs/cgroup in this mount namespace; return in words how."""
    if (CGROUP / "cgroup.controllers").exists():
        return "at /sys/fs/cgroup"
    unified = CGROUP / "unified"
    if not (unified / "cgroup.controllers").exists():
        raise Broken("cgroup v2: not found; boot the machine with systemd.unified_cgroup_hierarchy=1")
    # A bind mount, since a new cgroup2 mount resets nsdelegate for the whole machine.
    subprocess.run(["mount", "--bind", unified, CGROUP], check=True)
    return "the unified hierarchy, shown to this demo alone at /sys/fs/cgroup"


def nsdelegate() -> bool:
    mounts = (line.split(" - ") for line in Path("/proc/self/mountinfo").read_text().splitlines())
    return any(f" {CGROUP} " in place and "nsdelegate" in what for place, what in mounts)
