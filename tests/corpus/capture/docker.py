"""Capture the config.json files that Docker writes.

    node.sh NODE LAB env PYTHONPATH=/lab python3 -m tests.corpus.capture.docker /lab /lab/raw/docker [CASE...]

In a node with dockerd, containerd and runc on cgroup v2. The first argument is the directory with the archives that
images.py wrote, the second gets CASE.json and names.txt for normalise.py; its last part is the engine's name in the
corpus. With CASE only these; `apparmor`, `selinux` and `limits` are left out where the kernel has no such thing.
"""

import subprocess
import sys
from contextlib import closing, suppress
from pathlib import Path

from tests.corpus.capture.record import APPARMOR, SELINUX, WORK, Recorder, daemon, run, wait_for, write_json

IMAGE = "example/systemd:1"
INIT = ("/sbin/init",)

# The options of `docker create` and the container's command.
CASES: dict[str, tuple[tuple[str, ...], tuple[str, ...]]] = {
    "systemd": ((), INIT),
    "shell": ((), ("/bin/sh", "-c", "sleep 3600")),
    "privileged": (("--privileged",), INIT),
    "read-only": (("--read-only",), INIT),
    "tmpfs-run": (("--tmpfs", "/run", "--tmpfs", "/run/lock"), INIT),
    "volume-cgroup": (("--cgroupns=host", "--volume", "/sys/fs/cgroup:/sys/fs/cgroup:rw"), INIT),
    "volume-cgroup-ro": (("--volume", "/sys/fs/cgroup:/sys/fs/cgroup:ro"), INIT),
    "cgroup-volume": (("--volume", "/sys/fs/cgroup"), INIT),
    "drop-all": (("--cap-drop=ALL",), INIT),
    "volume-run": (("--volume", "/run", "--volume", "data:/var/lib/data:ro"), INIT),
    "cgroupns-host": (("--cgroupns=host",), INIT),
    "init": (("--init",), INIT),
    "terminal": (("--interactive", "--tty", "--env", "container=docker", "--label", "io.systemd.container=true"), INIT),
    "annotated": (("--annotation", "io.systemd.container=true"), ("/entrypoint.sh",)),
    "host-pid": (("--pid=host",), INIT),
    "user": (("--user", "1000:1000"), INIT),
    "apparmor": ((), INIT),
    "selinux": (("--security-opt", "label=level:s0:c123,c456"), INIT),
    "limits": (("--memory=512m", "--cpus=0.5", "--pids-limit=200"), INIT),
}

# The files without which a case says nothing.
NEEDS = {
    "apparmor": APPARMOR,
    "limits": Path("/sys/fs/cgroup/system.slice/memory.max"),
    "selinux": SELINUX,
}


def write_config(runtime: Path) -> Path:
    """Write Docker's configuration: no network, and the cgroup driver it has on a machine with systemd."""
    config = WORK / "daemon.json"
    settings = {
        "bridge": "none",
        "iptables": False,
        "exec-opts": ["native.cgroupdriver=systemd"],
        "runtimes": {"recorder": {"path": str(runtime)}},
        "default-runtime": "recorder",
        "selinux-enabled": SELINUX.exists(),
    }
    write_json(config, settings)
    return config


def answers() -> bool:
    """Whether Docker does."""
    command = ["docker", "version"]
    return subprocess.run(command, check=False, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL).returncode == 0


def capture(case: str, recorder: Recorder) -> None:
    """Run a container and keep its file."""
    options, command = CASES[case]
    container_id = run("docker", "create", "--network=none", *options, IMAGE, *command)
    with suppress(subprocess.CalledProcessError):
        run("docker", "start", container_id)
    recorder.keep(container_id, case)
    run("docker", "rm", "--force", "--volumes", container_id)


def main() -> None:
    """Capture the cases."""
    if len(sys.argv) < 3:
        sys.exit(__doc__)
    archives, raw = map(Path, sys.argv[1:3])
    wanted = sys.argv[3:] or [case for case in CASES if NEEDS.get(case, Path("/")).exists()]
    with (
        closing(Recorder(raw)) as recorder,
        daemon("dockerd", "--config-file", str(write_config(recorder.runtime))),
    ):
        wait_for(answers, "Docker does not answer")
        print("docker", run("docker", "version", "--format", "{{.Server.Version}}"))
        run("docker", "import", str(archives / "rootfs.tar"), IMAGE)
        for case in wanted:
            capture(case, recorder)


if __name__ == "__main__":
    main()
