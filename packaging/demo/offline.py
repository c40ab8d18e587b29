"""The demo without root: show the changes to a bundle from containerd, and why."""

import subprocess
import tempfile
from pathlib import Path

from product import SOURCE, install
from screen import Broken, command, quote, say, title

BUNDLES = "tests/corpus/containerd-2.1/systemd.json"


def demo() -> None:
    bundle = next(iter(sorted(SOURCE.glob(BUNDLES))), None)
    if not bundle:
        raise Broken(f"'{SOURCE / BUNDLES}': not found in this source tree")
    say("Booting needs root. These are the changes to a config.json that containerd made for a systemd image.")
    with tempfile.TemporaryDirectory(prefix="oci-systemd-demo-") as place:
        binaries = install(Path(place), "/usr/sbin/runc")
        title("The changes")
        show(binaries, "rewrite", "--diff", str(bundle.relative_to(SOURCE)))
        title("Why")
        show(binaries, "explain", str(bundle.relative_to(SOURCE)))
    say("\nAs root, `make demo` boots systemd in a container.")


def show(binaries: Path, *words: str) -> None:
    command("oci-systemd", *words)
    done = subprocess.run([binaries / "oci-systemd", *words], cwd=SOURCE, capture_output=True, text=True)
    if done.returncode:
        raise Broken(f"oci-systemd {words[0]}: exit status {done.returncode}: {done.stderr.strip()}")
    quote(done.stdout)
