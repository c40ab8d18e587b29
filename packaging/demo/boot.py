"""The demo as root: run the same bundle twice, once with runc and once with the wrapper in front of it.

Law: nothing on the machine changes. Mounts and processes are in namespaces of the demo's own, files in a temporary directory.
"""

import json
import os
import secrets
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

import machine
from container import Container, make_bundle
from product import install
from screen import Broken, Promises, command, fact, paint, quote, say, title

INSIDE = "OCI_SYSTEMD_DEMO"
TMPFS = {"/run": "755", "/run/lock": "1777", "/tmp": "1777", "/var/log/journal": "2755"}
PROMISED_STOP = 1.0


def demo() -> None:
    """Run the demo in its own namespaces, which end with it."""
    if place := os.environ.get(INSIDE):
        return both(Path(place))
    enter = ["unshare", "--mount", "--pid", "--fork", "--kill-child", "--mount-proc", "--propagation", "private"]
    if subprocess.run([*enter, "true"], capture_output=True).returncode:
        raise Broken(
            "mount and PID namespaces: permission denied; run the demo on a machine, or in a privileged container"
        )
    with tempfile.TemporaryDirectory(prefix="oci-systemd-demo-") as place:
        inside = [sys.executable, "-B", str(Path(__file__).parent)]
        code = subprocess.run([*enter, *inside], env=os.environ | {INSIDE: place}).returncode
    sys.exit(code)


@dataclass
class Stage:
    """The common part of both halves."""

    place: Path
    image: Path
    runc: Path
    wrapper: Path
    environ: dict[str, str]

    def bundle(self, name: str) -> Path:
        bundle = self.place / name[:12]
        make_bundle(bundle, self.image, self.runc, cgroup(name))
        return bundle

    def clear(self, container: Container) -> None:
        container.delete()
        tree = machine.CGROUP / cgroup(container.name)
        subprocess.run(["find", tree, "-depth", "-type", "d", "-delete"], stderr=subprocess.DEVNULL)


def cgroup(name: str) -> str:
    return f"demo-{name[:12]}"


def both(place: Path) -> None:
    stage = prepared(place)
    promises = Promises()
    without_us(stage, promises)
    with_us(stage, promises)
    promises.settle()
    say(f"\n{paint('All checks passed.', 'green')}")


def prepared(place: Path) -> Stage:
    image = machine.root_file_system()
    runc = machine.runtime()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "mode=755", "tmpfs", place], check=True)
    hierarchy = machine.show_cgroup_v2()
    delegating = machine.nsdelegate()
    wrapper = install(place / "usr", str(runc)) / "oci-systemd-runtime"
    settings = place / "config.toml"
    settings.write_text(f'cgroup.require_nsdelegate = {str(delegating).lower()}\nlog.file = "{place}/log"\n')
    title("This machine")
    fact("root file system", str(image))
    fact("runtime", version(runc))
    fact("cgroup v2", hierarchy)
    if not delegating:
        fact("", "mounted without nsdelegate: root in a container could lift its own limits;")
        fact("", "the demo sets cgroup.require_nsdelegate = false; a node should mount it with nsdelegate")
    return Stage(place, image, runc, wrapper, os.environ | {"OCI_SYSTEMD_CONFIG": str(settings)})


def version(runc: Path) -> str:
    said = subprocess.run([runc, "--version"], capture_output=True, text=True).stdout.splitlines()
    return f"{said[0] if said else 'unknown'}, {runc}"


def without_us(stage: Stage, promises: Promises) -> None:
    title("1  /sbin/init under runc alone")
    command("runc", "run", "demo")
    name = secrets.token_hex(32)
    container = Container(stage.runc, stage.bundle(name), name, stage.environ)
    try:
        code = end(container)
        quote("\n".join(container.words[-5:]))
        fate = f"exit code {code} after {container.age:.1f} s" if code is not None else "frozen"
        promises.show("systemd does not boot", fate, kept="Welcome to" not in container.said)
    finally:
        stage.clear(container)


def end(container: Container) -> int | None:
    """Return its exit code; None if it is alive but frozen."""
    while (code := container.exit_code(0.1)) is None and container.age < 15:
        if "Freezing execution" in container.said:
            return None
    return code


def with_us(stage: Stage, promises: Promises) -> None:
    title("2  the same bundle under oci-systemd-runtime, in front of the same runc")
    name = secrets.token_hex(32)
    bundle = stage.bundle(name)
    command("oci-systemd", "explain", "demo")
    changes(stage, bundle, name)
    command("oci-systemd-runtime", "run", "demo")
    container = Container(stage.wrapper, bundle, name, stage.environ)
    try:
        running(container, promises)
        identity(container, promises)
        mounts(container, promises)
        stop(container, promises)
    finally:
        stage.clear(container)


def changes(stage: Stage, bundle: Path, name: str) -> None:
    words: list[str | Path] = [stage.wrapper.with_name("oci-systemd"), "explain", "--json", "--id", name, bundle]
    done = subprocess.run(words, env=stage.environ, capture_output=True, text=True)
    if done.returncode:
        raise Broken(f"oci-systemd explain: exit status {done.returncode}: {done.stderr.strip()}")
    quote("\n".join(edit["text"] for edit in json.loads(done.stdout)["edits"]))


def running(container: Container, promises: Promises) -> None:
    while (state := container.ask("systemctl", "is-system-running")) not in ("running", "degraded"):
        if container.age > 60 or container.exit_code(0.05) is not None:
            quote("\n".join(container.words[-10:]))
            raise Broken(f"systemd did not boot: its state is '{state}'")
    promises.show(
        "systemctl is-system-running", f"{state}, {container.age:.1f} s after the call", kept=state == "running"
    )
    failed = container.ask("systemctl", "--failed", "--no-legend", "--plain")
    promises.show("no failed unit", failed.partition("\n")[0] or "none", kept=not failed)


def identity(container: Container, promises: Promises) -> None:
    machine_id = container.ask("cat", "/etc/machine-id")
    given = [each for each in container.ask("cat", "/proc/1/environ").split("\0") if each.startswith("container_uuid=")]
    expected = container.name[:32]
    promises.show("/etc/machine-id", machine_id, kept=machine_id == expected)
    promises.show(
        "is container_uuid", "the first half of the container's ID", kept=given == [f"container_uuid={expected}"]
    )


def mounts(container: Container, promises: Promises) -> None:
    for place, mode in TMPFS.items():
        kind, options = mount(container, place)
        seen = container.ask("stat", "-c", "%a", place)
        kept = kind == "tmpfs" and seen == mode and "rw" in options
        promises.show(place, f"{kind}, mode {seen}", kept=kept)
    kind, options = mount(container, "/sys/fs/cgroup")
    promises.show("/sys/fs/cgroup", f"{kind}, {options[0]}, its own", kept=kind == "cgroup2" and "rw" in options)


def mount(container: Container, place: str) -> tuple[str, list[str]]:
    """Return type and options of the last mount at PLACE (proc_pid_mounts(5))."""
    lines = (line.split() for line in container.ask("cat", "/proc/1/mounts").splitlines())
    found = [(kind, options.split(",")) for _, where, kind, options, *_ in lines if where == place]
    return found[-1] if found else ("no mount", [""])


def stop(container: Container, promises: Promises) -> None:
    command("oci-systemd-runtime", "kill", "demo", "TERM")
    begin = time.monotonic()
    container.call("kill", container.name, "TERM")
    ended = container.exit_code(20) is not None
    took = time.monotonic() - begin
    quote("\n".join(container.words[-2:]))
    kept = ended and took < PROMISED_STOP
    promises.show(
        "clean stop of all services", f"after {took:.1f} s" if ended else "still running after 20 s", kept=kept
    )
