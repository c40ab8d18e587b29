"""What an ordinary container does and says under an engine, step by step: the same with the wrapper as without."""

import re
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass

from tests.machine.lab.cli import Cli, CliGuest
from tests.machine.lab.life import until
from tests.machine.lab.pods import Kubelet, PodGuest


@dataclass(frozen=True)
class Said:
    code: int
    stdout: str
    stderr: str


Talk = dict[str, Said]

# Every start of a container costs the machine five seconds of its processors: few of them, each asked much. Their commands have
# words that may mean systemd, so that the launcher looks closer.
ONCE = "echo systemd >/dev/null; cat; echo noise >&2; exit 7"
LOUD = (
    "echo systemd >/dev/null; echo given; echo noise >&2; exit 7"  # `ctr run` tells no container that its input is over
)
NOWHERE = "/no/systemd/here"
STAY = """: systemd; trap 'echo usr1' USR1; trap 'echo term; exit 5' TERM
echo ready; echo noise >&2; while :; do sleep 1000 & wait; done"""
READ = "read line; echo got $line; exit 4"
LOOK = """grep ' /sys/fs/cgroup ' /proc/mounts | cut -d' ' -f4 | cut -d, -f1
grep -c container_uuid /proc/1/environ; echo noise >&2; exit 3"""
LIMITS = "cat /sys/fs/cgroup/memory.max /sys/fs/cgroup/pids.max"

# The output of each step; None where the engine or the runtime decides it.
EXPECTED: Mapping[str, tuple[int | None, str | None, str | None]] = {
    "run": (7, "given\n", "noise\n"),
    "no such command": (None, "", None),
    "exec": (3, "ro\n0\n", "noise\n"),
    "pause": (0, "paused\n", ""),
    "update, unpause, exec with input": (0, "given\n67108864\n50\n", ""),
    "kill, logs": (0, "ready\nusr1\n", "noise\n"),
    "stop": (0, "5\n", ""),
    "attach": (None, "got given\n", ""),  # Docker waits for the end of it, podman for that of its input
}
# A kubelet attaches by a server of containerd's own.
NO_KUBELET = ("attach",)


def as_expected(said: Said, expected: tuple[int | None, str | None, str | None]) -> bool:
    given = (said.code, said.stdout, said.stderr)
    return all(wanted is None or wanted == each for each, wanted in zip(given, expected, strict=True))


def plain(done: subprocess.CompletedProcess[str]) -> Said:
    """Without the IDs and times that differ from run to run."""

    def without(text: str) -> str:
        return re.sub(r"\b[0-9a-f]{12,64}\b|\d{4}-\d\d-\d\dT[\d:.]+Z?", "…", text)

    return Said(done.returncode, without(done.stdout), without(done.stderr))


def with_cli(cli: Cli) -> Talk:
    """Docker's or podman's ordinary containers."""
    once = cli.words("busybox", "sh", "-c", ONCE, options=["--rm", "--interactive"])
    talk = {"run": plain(cli.call(*once, given="given\n"))}
    talk["no such command"] = plain(cli.call(*cli.words("busybox", NOWHERE, options=["--rm"])))
    with cli.container("busybox", "sh", "-c", STAY) as guest:
        talk |= stay(guest)
    with cli.container("busybox", "sh", "-c", READ, options=["--interactive"]) as guest:
        done = guest.call("attach", given="given\n")
        # Docker's own `attach` shows nothing more once its input is over.
        return talk | {"attach": Said(done.returncode, guest.call("logs").stdout, "")}


def stay(guest: CliGuest) -> Talk:
    until(lambda: guest.call("logs").stdout, "ready\n".__eq__, 30)
    talk = {"exec": plain(guest.call("exec", "sh", "-c", LOOK))}
    guest.call("pause")
    talk["pause"] = Said(0, guest.inspect("Status") + "\n", "")
    guest.call("update", options=["--memory=64m", "--memory-swap=64m", "--pids-limit=50"])
    guest.call("unpause")
    limits = guest.call("exec", "sh", "-c", f"cat; {LIMITS}", options=["--interactive"], given="given\n")
    talk["update, unpause, exec with input"] = plain(limits)
    guest.call("kill", options=["--signal", "USR1"])
    until(lambda: guest.call("logs").stdout, lambda said: "usr1" in said, 30)
    talk["kill, logs"] = plain(guest.call("logs"))
    guest.stop(60)
    return talk | {"stop": Said(0, guest.inspect("ExitCode") + "\n", "")}


def with_kubelet(kubelet: Kubelet, handler: str) -> Talk:
    """containerd's: the calls of a kubelet, and `ctr` for all others."""
    talk = {"run": plain(kubelet.ctr_run(handler, "busybox", "sh", "-c", LOUD))}
    talk["no such command"] = plain(kubelet.ctr_run(handler, "busybox", NOWHERE))
    with kubelet.pod(handler, "busybox", "sh", "-c", STAY) as guest:
        return talk | stay_in_pod(kubelet, guest)


def stay_in_pod(kubelet: Kubelet, guest: PodGuest) -> Talk:
    until(guest.logs, lambda said: "ready" in said, 30)
    talk = {"exec": plain(guest.run("sh", "-c", LOOK))}
    kubelet.ctr("tasks", "pause", guest.id)
    talk["pause"] = Said(0, f"{guest.task_state()}\n", "")
    kubelet.ctr("tasks", "resume", guest.id)
    guest.update(memory=64 << 20, pids=50)
    talk["update, unpause, exec with input"] = plain(guest.run("sh", "-c", f"echo given; {LIMITS}"))
    kubelet.ctr("tasks", "kill", "--signal", "SIGUSR1", guest.id)
    until(guest.logs, lambda said: "usr1" in said, 30)
    talk["kill, logs"] = Said(0, guest.logs("stdout"), guest.logs("stderr"))
    guest.stop(60)
    return talk | {"stop": Said(0, f"{guest.exit_code()}\n", "")}
