"""Capture the config.json files that Podman writes for root.

    node.sh NODE LAB env PYTHONPATH=/lab python3 -m tests.corpus.capture.podman /lab /lab/raw/podman [CASE...]

In a node with podman and crun on cgroup v2. The first argument is the directory with the archives that images.py wrote,
the second gets CASE.json and names.txt for normalise.py; its last part is the engine's name in the corpus. With CASE
only these; `apparmor` and `selinux` are left out where the kernel has none.
"""

import subprocess
import sys
from contextlib import closing, suppress
from pathlib import Path

from tests.corpus.capture.record import APPARMOR, SELINUX, Recorder, run

IMAGE = "docker.io/example/systemd:1"
INIT = ("/sbin/init",)
OFF = "--systemd=false"
LEVEL = ("--security-opt", "label=level:s0:c123,c456")

# The options of `podman create` and the container's command.
CASES: dict[str, tuple[tuple[str, ...], tuple[str, ...]]] = {
    "systemd-false": ((OFF,), INIT),
    "systemd": ((), INIT),
    "shell": ((), ("/bin/sh", "-c", "sleep 3600")),
    "tmpfs": ((OFF, "--tmpfs", "/run", "--tmpfs", "/run/lock"), INIT),
    "volume-run": ((OFF, "--volume", "/run", "--volume", "data:/var/lib/data:ro"), INIT),
    "cgroup-volume": ((OFF, "--volume", "/sys/fs/cgroup"), INIT),
    "volume-cgroup": ((OFF, "--volume", "/sys/fs/cgroup:/sys/fs/cgroup:ro"), INIT),
    "privileged": ((OFF, "--privileged"), INIT),
    "read-only": ((OFF, "--read-only"), INIT),
    "annotated": ((OFF, "--annotation", "io.systemd.container=true"), ("/entrypoint.sh",)),
    "cgroupns-host": ((OFF, "--cgroupns=host"), INIT),
    "user-namespace": ((OFF, "--uidmap=0:524288:65536", "--gidmap=0:524288:65536"), INIT),
    "apparmor": ((OFF,), INIT),
    "selinux": ((OFF, *LEVEL), INIT),
    "selinux-systemd": (LEVEL, INIT),
}
# The files without which a case says nothing.
NEEDS = {"apparmor": APPARMOR, "selinux": SELINUX, "selinux-systemd": SELINUX}


def capture(case: str, podman: tuple[str, ...], recorder: Recorder) -> None:
    """Run a container and keep its file."""
    options, command = CASES[case]
    container_id = run(*podman, "create", "--name", case, "--network=none", *options, IMAGE, *command)
    with suppress(subprocess.CalledProcessError):
        run(*podman, "start", container_id)
    recorder.keep(container_id, case)
    run(*podman, "rm", "--force", "--time=0", "--volumes", container_id)


def main() -> None:
    """Capture the cases."""
    if len(sys.argv) < 3:
        sys.exit(__doc__)
    archives, raw = map(Path, sys.argv[1:3])
    wanted = sys.argv[3:] or [case for case in CASES if NEEDS.get(case, Path("/")).exists()]
    print(run("podman", "--version"))
    with closing(Recorder(raw, "crun")) as recorder:
        podman = ("podman", "--cgroup-manager=systemd", "--events-backend=none", "--runtime", str(recorder.runtime))
        run(*podman, "import", "--quiet", str(archives / "rootfs.tar"), IMAGE)
        for case in wanted:
            capture(case, podman, recorder)


if __name__ == "__main__":
    main()
