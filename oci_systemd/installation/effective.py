"""Find the configuration that is in effect, for the present files or planned ones: ask the engine's own program about a copy.

    containerd   containerd --config COPY config dump
    CRI-O        crio --config COPY --config-dir COPY.d config
    Docker       dockerd --validate --config-file COPY (whether the file is valid; the values are then read from the file)
    podman       podman --runtime NAME info, with temporary storage; only for the present files, since it needs the program

Invariant: no file of the engine is written, and the engine need not run. If its program cannot be asked, the files are read, and
the answer says so: containerd does not read a template of k3s or a drop-in of k0s directly.
"""

from __future__ import annotations

import shutil
import tempfile
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from oci_systemd.core.errors import Problem
from oci_systemd.engines import containerd_files, crio, docker, podman
from oci_systemd.engines.engines import ENGINES
from oci_systemd.engines.launcher import is_ours
from oci_systemd.engines.place import PROGRAMS
from oci_systemd.host import commands

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from oci_systemd.engines import plan as plans
    from oci_systemd.engines.place import Place
    from oci_systemd.engines.wanted import Wanted
    from oci_systemd.host.tree import Tree


@dataclass(frozen=True)
class Answer:
    """The configuration in effect. `asked`: the engine's command that reported it, "" if its files were read. `refused`: why the
    engine refuses the files. `handlers`: each with its program, "" for the engine's own. `details`: containerd's whole
    configuration."""

    asked: str = ""
    refused: str = ""
    handlers: Mapping[str, str] = field(default_factory=dict)
    default: str = ""
    details: containerd_files.Configuration | None = None

    @property
    def ours(self) -> dict[str, str]:
        return {name: program for name, program in self.handlers.items() if is_ours(program)}

    @property
    def source(self) -> str:
        """The source of the answer, for people."""
        return f"asked: {self.asked}" if self.asked else "its files were read"


def ask(engine: str, files: plans.Tree, tree: Tree, place: Place) -> Answer:
    """Return the configuration in effect for `files`: from the engine's program if it can run at `tree`, else from `read`."""
    program = tree.program(place.program, PROGRAMS)
    question = QUESTIONS.get(engine)
    said = question(_Question(files, tree, place.main, program)) if question and program else None
    return said or read(engine, files, place)


def read(engine: str, files: plans.Tree, place: Place, version: str = "") -> Answer:
    """Return the configuration in effect by our own reading of `files`."""
    if engine == "containerd":
        given = containerd_files.configuration(files, place.main, version)
        return Answer(handlers=_programs(given), default=given.default, details=given)
    return Answer(handlers=ENGINES[engine].wrapped(files, place.main))


@dataclass(frozen=True)
class _Question:
    """One question to the engine's `program` at `tree`, about `files` with the main file `main`."""

    files: plans.Tree
    tree: Tree
    main: str
    program: str

    def put(
        self, relocated: Callable[..., dict[str, str] | None], words: Callable[[str], list[str]]
    ) -> commands.Said | None:
        """Return what the program says, called with `words` for the path of the copy; None if it cannot be asked."""
        with _copy_place(self.tree) as (inside, outside):
            if not outside:
                return None
            texts = relocated(self.files, self.main, inside)
            if texts is None:
                return None
            for path, text in ({self.main: ""} | texts).items():
                copy = Path(f"{outside}{path}")
                copy.parent.mkdir(parents=True, exist_ok=True)
                copy.write_bytes(text.encode())
            said = commands.ask([self.program, *words(f"{inside}{self.main}")], self.tree.root)
            return said and said._replace(complaint=said.complaint.replace(inside, ""))


@contextmanager
def _copy_place(tree: Tree) -> Iterator[tuple[str, str]]:
    """Make a directory for a copy: return its path inside the tree, and its path for this process; "" if none can be made. Only its
    owner can read it (mkdtemp), since a configuration may hold a registry's password."""
    inside = folder = ""
    for above in ("/run", "/tmp", "/var/tmp"):
        with suppress(OSError):
            folder = tempfile.mkdtemp(prefix="oci-systemd-", dir=tree.outside(above))
            inside = f"{above}/{Path(folder).name}"
            break
    try:
        yield inside, folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _containerd(question: _Question) -> Answer | None:
    asked = "containerd config dump"
    if not containerd_files.is_read(question.files, question.main):
        return None
    said = question.put(containerd_files.relocated, lambda main: ["--config", main, "config", "dump"])
    if said is None or (not said.output and not said.complaint):
        return None
    if said.complaint:
        return Answer(asked, said.complaint)
    try:
        given = containerd_files.dumped(question.main, said.output)
    except (ValueError, RecursionError):
        return None
    return Answer(asked, "", _programs(given), given.default, given)


def _programs(given: containerd_files.Configuration) -> dict[str, str]:
    return {name: containerd_files.binary(table) for name, table in given.handlers.items()}


def _crio(question: _Question) -> Answer | None:
    asked = "crio config"
    said = question.put(crio.relocated, lambda main: ["--config", main, "--config-dir", f"{main}.d", "config"])
    if said is None or (not said.output and not said.complaint):
        return None
    if said.complaint:
        return Answer(asked, said.complaint)
    try:
        runtime = crio.printed(said.output)
    except (ValueError, RecursionError):
        return None
    tables: dict[str, Any] = runtime.get("runtimes") or {}
    programs = {name: str(each.get("runtime_path") or "") for name, each in tables.items() if isinstance(each, dict)}
    return Answer(asked, "", programs, str(runtime.get("default_runtime") or crio.DEFAULT))


def _docker(question: _Question) -> Answer | None:
    asked = "dockerd --validate"
    said = question.put(docker.relocated, lambda main: ["--validate", "--config-file", main])
    if said is None or (not said.output and not said.complaint and not said.is_noted):
        return None
    if said.complaint:
        return Answer(asked, said.complaint)
    runtimes, default = docker.runtimes(question.files, question.main)
    programs = {name: str(each.get("path") or "") for name, each in runtimes.items() if isinstance(each, dict)}
    return Answer(asked, "", programs, default)


def _podman(question: _Question) -> Answer | None:
    """podman reports the path of one runtime per call, and refuses unknown ones."""
    if question.files is not question.tree:
        return None
    found = {name: _podman_runtime(question, name) for name in podman.wrapped(question.tree, question.main)}
    known = {name: path for name, path in found.items() if path is not None}
    if not found or len(known) < len(found):
        return None
    return Answer("podman info", handlers={name: path for name, path in known.items() if path})


def _podman_runtime(question: _Question, name: str) -> str | None:
    """Return the program of a runtime, "" if podman does not know it; None if podman cannot be asked."""
    with _copy_place(question.tree) as (inside, outside):
        own = [word for option in ("root", "runroot", "tmpdir") for word in (f"--{option}", f"{inside}/{option}")]
        words = [*own, "--storage-driver", "vfs", "--runtime", name, "info", "--format", "{{.Host.OCIRuntime.Path}}"]
        said = commands.ask([question.program, *words], question.tree.root) if outside else None
    if said is None or not (said.output.strip() or said.complaint):
        return None
    return "" if said.complaint else said.output.strip()


QUESTIONS: dict[str, Callable[[_Question], Answer | None]] = {
    "containerd": _containerd,
    "crio": _crio,
    "docker": _docker,
    "podman": _podman,
}


def check(engine: str, title: str, wanted: Wanted, before: Answer, after: Answer, hint: str = "") -> None:
    """Raise a Problem if `after`, the configuration in effect with the planned files, is not as `wanted`. Nothing is written
    then."""
    said = f"{title}: {after.asked}"
    if after.refused:
        raise Problem(f"{said} refuses the planned files: {after.refused}; no file is changed")
    if not is_ours(after.handlers.get(wanted.handler, "")):
        raise Problem(
            f"{said} shows that handler {wanted.handler} would not be in effect: {hint or HINT}; no file is changed"
        )
    if wanted.default and after.default != wanted.handler:
        raise Problem(
            f"{said} shows that the default runtime would still be {after.default!r}: a later file sets it; leave out --default, "
            "or remove it there; no file is changed"
        )
    lost = sorted({*before.handlers} - {*after.handlers})
    if lost and not before.refused:
        raise Problem(f"{said} shows that handler {lost[0]} would be lost: {hint or HINT}; no file is changed")


HINT = "another file overrides it, or an import is not read"
