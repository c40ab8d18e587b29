"""Boot a container again and again while a probe asks it, and print after each boot the units whose limits are missing.

    python3 limited.py IMAGE PROBE TIMES

Runs in the machine, by its Python alone: IMAGE is one of containerd's, PROBE one of PROBES. A line is `units: NAMES`.
"""

import json
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

V2 = Path("/sys/fs/cgroup")
WRAPPER = "oci-systemd-runtime"
PORT = 8990
EVERY, TO_BOOT = 0.1, 60  # seconds
LIMITS = {"memory.max": "67108864", "pids.max": "50", "cpu.max": "50000 100000"}
SERVICE = """[Unit]
DefaultDependencies=no
{}
[Service]
ExecStart=/bin/sleep infinity
MemoryMax=64M
TasksMax=50
CPUQuota=50%
"""
NAMES = ("first", "second")
# A boot that is as short as it gets: the generators, then these units, one after another.
UNITS = {
    "limited.target": "[Unit]\nDefaultDependencies=no\nWants=ready.socket first.service second.service\n",
    "first.service": SERVICE.format(""),
    "second.service": SERVICE.format("After=first.service"),
    "ready.socket": f"[Unit]\nDefaultDependencies=no\n[Socket]\nListenStream={PORT}\nAccept=yes\n",
    "ready@.service": "[Unit]\nDefaultDependencies=no\n[Service]\nExecStart=/bin/true\n",
}
CAPABILITIES = """CHOWN DAC_OVERRIDE FSETID FOWNER MKNOD NET_RAW SETGID SETUID SETFCAP SETPCAP NET_BIND_SERVICE SYS_CHROOT KILL
    AUDIT_WRITE""".split()
CONNECT = f"""
import socket, time
while True:
    try:
        socket.create_connection(("127.0.0.1", {PORT}), 1).close()
    except OSError:
        pass
    time.sleep({EVERY})
"""


def run(*words: str, check: bool = True) -> None:
    quiet = subprocess.DEVNULL
    subprocess.run(words, check=check, stdin=quiet, stdout=quiet, stderr=quiet)


def bundle(image: str) -> Path:
    """The bundle of an image, made at the first time."""
    here = Path("/run/limited", image)
    if not here.exists():
        lower, upper, root = here / "lower", here / "tmpfs", here / "rootfs"
        for each in (lower, upper, root):
            each.mkdir(parents=True)
        run("mount", "-t", "tmpfs", "tmpfs", str(upper))
        (upper / "upper").mkdir()
        (upper / "work").mkdir()
        run("ctr", "--namespace=k8s.io", "images", "mount", f"docker.io/local/{image}:1", str(lower))
        layers = f"lowerdir={lower},upperdir={upper}/upper,workdir={upper}/work"
        run("mount", "-t", "overlay", "-o", layers, "overlay", str(root))
        for name, text in UNITS.items():
            (root / "etc/systemd/system" / name).write_text(text)
        run("runc", "spec", "--bundle", str(here))
        describe(here / "config.json")
        run("oci-systemd", "rewrite", "--in-place", "--id", "limited", str(here))
    return here


def describe(config: Path) -> None:
    """What an engine describes."""
    spec = json.loads(config.read_text())
    granted = [f"CAP_{name}" for name in CAPABILITIES]
    capabilities = dict.fromkeys(("bounding", "effective", "permitted"), granted)
    args = ["/sbin/init", "--unit=limited.target"]
    spec["process"] |= {"args": args, "terminal": False, "noNewPrivileges": False, "capabilities": capabilities}
    spec["root"]["readonly"] = False
    kinds = ("pid", "network", "ipc", "uts", "mount", "cgroup")
    spec["linux"] |= {"namespaces": [{"type": kind} for kind in kinds], "cgroupsPath": "/limited"}
    config.write_text(json.dumps(spec))


# Probes: each runs until it gets the signal to stop


def nothing(stop: threading.Event) -> None:
    stop.wait()


def connect(stop: threading.Event) -> None:
    """A TCP connection from outside, in the container's network."""
    first = json.loads(subprocess.run(["runc", "state", "limited"], check=True, capture_output=True).stdout)["pid"]
    enter = ["nsenter", "--net", f"--target={first}"]
    run(*enter, "busybox", "ifconfig", "lo", "up")
    probe = subprocess.Popen([*enter, "python3", "-c", CONNECT])
    stop.wait()
    probe.kill()
    probe.wait()


def execute(stop: threading.Event) -> None:
    """What an engine does for an exec probe."""
    while not stop.wait(EVERY):
        run("runc", "exec", "limited", "/bin/true", check=False)


def execute_by_handler(stop: threading.Event) -> None:
    """The same through the wrapper, and a shell that somebody opens as early as in `stay`."""
    until_systemd_has_moved()
    shell = subprocess.Popen([WRAPPER, "exec", "limited", "/bin/sleep", "infinity"], stdin=subprocess.DEVNULL)
    while not stop.wait(EVERY):
        run(WRAPPER, "exec", "limited", "/bin/true", check=False)
    run("runc", "kill", "limited", "KILL", check=False)
    shell.wait()


def stay(stop: threading.Event) -> None:
    """A shell that somebody opened while systemd boots: it does not leave its cgroup."""
    until_systemd_has_moved()
    shell = subprocess.Popen(["sleep", "infinity"])
    (V2 / "limited/cgroup.procs").write_text(str(shell.pid))
    stop.wait()
    shell.kill()
    shell.wait()


def until_systemd_has_moved() -> None:
    while not (V2 / "limited/init.scope/cgroup.procs").exists() or not procs("init.scope"):
        time.sleep(0.01)


PROBES: dict[str, Callable[[threading.Event], None]] = {
    "none": nothing,
    "tcp": connect,
    "exec": execute,
    "handler": execute_by_handler,
    "shell": stay,
}


def procs(cgroup: str) -> str:
    try:
        return (V2 / "limited" / cgroup / "cgroup.procs").read_text()
    except OSError:
        return ""


def missing(name: str) -> bool:
    """Whether a service lacks one of its limits."""
    here = V2 / "limited/system.slice" / f"{name}.service"
    return any(
        not (here / file).exists() or (here / file).read_text().strip() != value for file, value in LIMITS.items()
    )


def boot(image: str, probe: str) -> list[str]:
    """Boot once; the services without limits."""
    runtime = WRAPPER if probe == "handler" else "runc"
    run(runtime, "run", "--detach", "--bundle", str(bundle(image)), "limited")
    stop = threading.Event()
    thread = threading.Thread(target=PROBES[probe], args=[stop])
    thread.start()
    try:
        end = time.monotonic() + TO_BOOT
        while not procs(f"system.slice/{NAMES[-1]}.service"):
            if time.monotonic() > end:
                return ["it does not boot"]
            time.sleep(0.05)
        time.sleep(0.2)
        return [name for name in NAMES if missing(name)]
    finally:
        stop.set()
        thread.join()
        run("runc", "kill", "limited", "KILL", check=False)
        run("runc", "delete", "--force", "limited")


def main(image: str, probe: str, times: str) -> None:
    for _ in range(int(times)):
        print("units:", *boot(image, probe), flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
