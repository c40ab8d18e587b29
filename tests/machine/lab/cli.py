"""Docker and podman in the machine: two programs with the same words."""

import subprocess
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

from tests.e2e.lab.rootfs import LabError
from tests.machine.lab.archives import image
from tests.machine.lab.engines import WRAPPERS
from tests.machine.lab.machine import Machine


@dataclass(frozen=True)
class Cli:
    """`docker` or `podman`, called by USER; OPTIONS stand before every command of podman's, RUN behind `run`."""

    machine: Machine
    name: str
    options: Sequence[str] = ()
    run: Sequence[str] = ()
    user: str = "root"

    def call(self, *words: str, given: str = "") -> subprocess.CompletedProcess[str]:
        return self.machine.run(self.name, *self.options, *words, check=False, user=self.user, given=given)

    def words(self, name: str, *words: str, options: Sequence[str] = ()) -> list[str]:
        """`run`, with the command at the end."""
        return ["run", *self.run, *options, image(name), *words]

    def commit(self, base: str, name: str, change: str) -> None:
        """Make the image `name`: `base` with one more instruction of a Dockerfile."""
        made = self.call("create", image(base)).stdout.strip()
        done = self.call("commit", "--change", change, made, image(name))
        self.call("rm", made)
        if done.returncode:
            raise LabError(f"'{self.name} commit': {done.stderr}")

    @contextmanager
    def container(self, name: str, *words: str, options: Sequence[str] = ()) -> "Iterator[CliGuest]":
        done = self.call(*self.words(name, *words, options=["--detach", *options]))
        if done.returncode:
            raise LabError(f"'{self.name}' does not run '{name}': {done.stderr}")
        guest = CliGuest(self, done.stdout.strip())
        try:
            yield guest
        finally:
            self.call("rm", "--force", "--volumes", guest.id)


def by_wrapper(machine: Machine, name: str, run: Sequence[str] = (), runtime: str = "runc") -> Cli:
    """`docker` or `podman` with the wrapper before RUNTIME, which podman wants to hear before its command."""
    chosen = ["--runtime", WRAPPERS[runtime]]
    return Cli(machine, name, run=[*chosen, *run]) if name == "docker" else Cli(machine, name, chosen, run)


@dataclass
class CliGuest:
    cli: Cli
    id: str

    @property
    def machine(self) -> Machine:
        return self.cli.machine

    def call(
        self, command: str, *words: str, options: Sequence[str] = (), given: str = ""
    ) -> subprocess.CompletedProcess[str]:
        return self.cli.call(command, *options, self.id, *words, given=given)

    def ask(self, *words: str) -> str:
        return self.call("exec", *words).stdout.strip()

    def inspect(self, what: str) -> str:
        return self.call("inspect", options=["--format", "{{.State." + what + "}}"]).stdout.strip()

    def pid(self) -> int:
        return int(self.inspect("Pid"))

    def stop(self, grace: int) -> None:
        self.call("stop", options=["--time", str(grace)])

    def exit_code(self) -> int:
        return int(self.inspect("ExitCode"))
