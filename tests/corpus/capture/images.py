"""Write the image archives that the capture scripts use into a directory.

    python3 -m tests.corpus.capture.images ROOT LAB

ROOT is a root file system with systemd (mmdebstrap --variant=minbase --include=systemd,systemd-sysv,dbus,procps …), LAB
the directory that node.sh shows in the node as /lab. Run it as root, on the machine itself; it needs a C compiler.
It writes LAB/systemd.tar, volume.tar, cgroup-volume.tar and pause.tar (OCI archives) and rootfs.tar (the bare file system).
"""

import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from tests.cri.image import pack, write_image

SEARCH = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
# Images with volumes, and where these are.
VOLUMES = {"volume": ("/run", "/var/lib/data"), "cgroup-volume": ("/sys/fs/cgroup",)}
PAUSE = "#include <unistd.h>\nint main(void) { for (;;) pause(); }\n"


def pause_layer() -> bytes:
    """A file system with nothing but a program that waits."""
    with tempfile.TemporaryDirectory() as root:
        compiler = ["cc", "-static", "-Os", "-s", "-x", "c", "-o", f"{root}/pause", "-"]
        subprocess.run(compiler, check=True, input=PAUSE, text=True)
        Path(root).chmod(0o755)
        return pack(Path(root))


def main() -> None:
    """Write the archives."""
    if len(sys.argv) != 3:
        sys.exit(__doc__)
    root, lab = map(Path, sys.argv[1:])
    lab.mkdir(parents=True, exist_ok=True)
    layer = pack(root)
    (lab / "rootfs.tar").write_bytes(layer)
    config = {"Entrypoint": ["/sbin/init"], "Env": [SEARCH]}
    write_image([layer], lab / "systemd.tar", "docker.io/example/systemd:1", config)
    for name, places in VOLUMES.items():
        volumes: dict[str, Any] = {"Volumes": {place: {} for place in places}}
        write_image([layer], lab / f"{name}.tar", f"docker.io/example/systemd-{name}:1", config | volumes)
    pause = {"Entrypoint": ["/pause"], "Env": [SEARCH], "User": "65535:65535", "WorkingDir": "/"}
    write_image([pause_layer()], lab / "pause.tar", "docker.io/example/pause:1", pause)


if __name__ == "__main__":
    main()
