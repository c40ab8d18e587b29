"""A machine: a Debian with systemd and container engines in QEMU, on an emulated processor, reached by ssh.

Law: a machine leaves nothing behind and does not change its disks. Its process, its key and its files end with it, and it ends
with the process that started it.
"""

import base64
import os
import shlex
import subprocess
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

from tests.e2e.lab.closing import Closing
from tests.e2e.lab.node import SITE, SOURCE, install_dependencies
from tests.e2e.lab.rootfs import LabError
from tests.machine.lab.disks import MACHINE, disks
from tests.ports import free_port

SCRIPT = Path(__file__).with_name("machine.sh")
MEMORY = 4096
TO_BOOT = 240  # thirty on two cores that are idle
# Its writes go to no disk: a sync of others would wait for them.
OVERLAYS = Path("/dev/shm")
EXCLUDED = ("./.git", "./.venv", "./build", "*.egg-info", "__pycache__", ".*_cache", ".hypothesis")

# Its file system holds nothing of ours: the kernel's command line sets it up at boot. It waits at basic.target for its engines'
# configuration. systemd-network-generator(8) reads ip=, systemd.system-credentials(7) has the name of the key's place. AppArmor
# enforces the profiles that engines load; Debian's hundred for other programs would take twenty seconds of each boot.
KERNEL = """root=/dev/vda rw console=ttyS0 quiet net.ifnames=0 ip=:::::eth0:dhcp systemd.unit=basic.target
    systemd.wants=systemd-networkd.service systemd.wants=ssh.service apparmor=1 security=apparmor
    systemd.mask=apparmor.service mitigations=off""".split()
KEY = "systemd.set_credential_binary=ssh.authorized_keys.root:"
SSH = """-F none -o LogLevel=ERROR -o BatchMode=yes -o StrictHostKeyChecking=no -o UserKnownHostsFile=/dev/null
    -o ConnectTimeout=10 -o ControlMaster=auto -o ControlPersist=yes""".split()


class Machine(Closing):
    """Commands run in it by `run`; files come into it by `send`."""

    def __init__(self) -> None:
        self.directory = Path(tempfile.mkdtemp(prefix="machine-"))
        self._port = free_port()
        self._serial = self.directory / "console"
        self._process = self._start(*disks())
        try:
            self._wait()
        except BaseException:
            self.close()
            raise

    def _start(self, own: Path, stores: Path) -> subprocess.Popen[str]:
        key = self.directory / "key"
        subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "", "-f", key], check=True)
        append = " ".join([*KERNEL, KEY + base64.b64encode(key.with_suffix(".pub").read_bytes()).decode()])
        network = f"user,id=net,restrict=on,hostfwd=tcp:127.0.0.1:{self._port}-:22"
        command = ["qemu-system-x86_64", "-nodefaults", "-no-user-config", "-no-reboot", "-display", "none"]
        # One emulated processor: a second one makes both slower than one alone.
        command += ["-accel", "tcg", "-cpu", "max", "-smp", "1", "-m", str(MEMORY)]
        command += ["-kernel", str(MACHINE.path / "vmlinuz"), "-initrd", str(MACHINE.path / "initrd.img")]
        command += ["-append", append, "-serial", f"file:{self._serial}", "-device", "virtio-rng-pci"]
        for disk in (own, stores):
            command += ["-drive", f"file={disk},if=virtio,format=raw,cache=unsafe,snapshot=on"]
        command += ["-netdev", network, "-device", "virtio-net-pci,netdev=net,romfile="]
        # Its own session: an interrupt from the keyboard must not end it before its containers' tests.
        script = ["bash", str(SCRIPT), str(self.directory), "setpriv", "--pdeathsig", "KILL", *command]
        overlays = {"TMPDIR": str(OVERLAYS)} if OVERLAYS.is_dir() else {}
        pipe = subprocess.PIPE
        return subprocess.Popen(
            script, env=os.environ | overlays, stdin=pipe, stderr=pipe, text=True, start_new_session=True
        )

    def _wait(self) -> None:
        end = time.monotonic() + TO_BOOT
        while subprocess.run(self.command("true"), capture_output=True, timeout=60).returncode:
            if self._process.poll() is not None:
                raise LabError(f"QEMU does not start: {self._process.stderr and self._process.stderr.read()}")
            if time.monotonic() > end:
                raise LabError(f"no machine after {TO_BOOT} s; it said:\n{self.console}")
            time.sleep(0.5)

    def close(self) -> None:
        self._process.communicate("")

    @property
    def console(self) -> str:
        """The end of what the machine said on its serial console."""
        return self._serial.read_text(errors="replace")[-4000:] if self._serial.exists() else ""

    def reboot(self, limit: float) -> str:
        """Have its systemd reboot it, which ends QEMU. Return the end of its console's output."""
        self.run("systemctl", "--no-block", "reboot")
        end, said = time.monotonic() + limit, ""
        while self._process.poll() is None:
            said = self.console or said  # it is gone a second after the machine
            if time.monotonic() > end:
                raise LabError(f"it does not go down within {limit} s; it said:\n{said}")
            time.sleep(0.1)
        return said

    def journal(self) -> str:
        """The last of what its services said."""
        try:
            return self.run("journalctl", "--no-pager", "--lines=60", check=False, limit=30).stdout
        except subprocess.TimeoutExpired:
            return "it does not answer"

    def ssh(self, *options: str, user: str = "root") -> list[str]:
        own = ["-i", str(self.directory / "key"), "-p", str(self._port), "-o", f"ControlPath={self.directory}/{user}"]
        return ["ssh", *SSH, *own, *options, f"{user}@127.0.0.1"]

    def command(self, *words: str, user: str = "root") -> list[str]:
        return [*self.ssh(user=user), shlex.join(words)]

    def run(
        self, *words: str, check: bool = True, user: str = "root", given: str = "", limit: float = 180
    ) -> subprocess.CompletedProcess[str]:
        """Run WORDS in the machine, in a login session of USER, with GIVEN as their standard input."""
        command = self.command(*words, user=user)
        done = subprocess.run(command, input=given, capture_output=True, text=True, errors="replace", timeout=limit)
        if check and done.returncode:
            raise LabError(f"'{shlex.join(words)}' ended with {done.returncode}: {done.stdout + done.stderr}")
        return done

    def output(self, *words: str, user: str = "root") -> str:
        return self.run(*words, user=user).stdout.strip()

    def script(self, text: str, *arguments: str, user: str = "root") -> str:
        """What a shell script prints."""
        return self.run("sh", "-ec", text, "sh", *arguments, user=user).stdout

    def write(self, path: str, text: str) -> None:
        self.run("sh", "-ec", 'mkdir -p "$(dirname "$1")"; cat >"$1"', "sh", path, given=text)

    def send(self, tree: Path, target: str, *, without: Sequence[str] = ()) -> None:
        """Copy the contents of the directory TREE into the directory TARGET."""
        pack = ["tar", "-C", str(tree), *(f"--exclude={each}" for each in without), "-c", "."]
        with subprocess.Popen(pack, stdout=subprocess.PIPE) as packed:
            unpack = shlex.join(["mkdir", "-p", target]) + "; " + shlex.join(["tar", "-C", target, "-x"])
            subprocess.run([*self.ssh(), unpack], stdin=packed.stdout, check=True, timeout=120)

    def forward(self, path: str) -> Path:
        """A socket on this side that leads to the one at PATH in the machine."""
        here = self.directory / Path(path).name
        subprocess.run(self.ssh("-O", "forward", "-L", f"{here}:{path}"), check=True, capture_output=True)
        return here

    def install(self, runtime: str) -> None:
        """Install this source tree as a user would, in front of RUNTIME."""
        self.send(SOURCE, "/source", without=EXCLUDED)
        words = ["make", "-C", "/source", "install", "PREFIX=/usr", f"RUNTIME={runtime}"]
        self.run(*words, "PYTHON=/usr/bin/python3", "DEPENDENCIES=no", f"SITE={SITE}")
        version = self.output("python3", "-c", "import sys; print('%d.%d' % sys.version_info[:2])")
        with tempfile.TemporaryDirectory() as wheels:
            install_dependencies(Path(wheels), version)
            Path(wheels).chmod(0o755)  # not only root starts the programs in it
            self.send(Path(wheels), SITE)
