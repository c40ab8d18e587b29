"""Install this source tree, for `make install`, with the interpreter that will run the wrapper (or another of the same version).

    PREFIX/lib/oci-systemd/versions/V    one version: launchers, package, byte code, and `files`, the list of its files
    PREFIX/lib/oci-systemd/current       a link to the current version
    PREFIX/bin/oci-systemd-runtime       a link through `current`, and so is PREFIX/bin/oci-systemd
    PREFIX/share, PREFIX/lib/systemd     texts: settings, hook, unit, `in-use`, manual pages, completions

Law: everything that can fail is done before any existing file is changed, and one rename, of `current`, switches to the new
version. Whenever this program is killed, the old installation or the new one is complete.
"""

from __future__ import annotations

import argparse
import compileall
import fcntl
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from py_compile import PycInvalidationMode
from typing import NamedTuple

SOURCE = Path(__file__).parents[2]
sys.path.insert(0, str(SOURCE))

from oci_systemd import __version__  # noqa: E402
from oci_systemd.core.errors import Problem  # noqa: E402
from oci_systemd.host import versions  # noqa: E402
from oci_systemd.host.files import flush, flush_folder  # noqa: E402
from oci_systemd.host.tree import LEFT, Tree  # noqa: E402

import freeze  # noqa: E402

PROGRAMS = ("oci-systemd-runtime", "oci-systemd")
UNIT = "oci-systemd-nri.service"
# Letters that need no quotes in a script (the same as in engines/launcher.py).
SAFE = re.compile(r"[-+./0-9:=@A-Z_a-z]*")
FILES, LOCK = "files", "lock"
# The content of PREFIX/lib/oci-systemd. Installations without versions had package and dependencies there, and `made`: the list of
# new directories.
PAUSE = 1.0  # seconds after which no earlier call still runs
KEPT, MADE = ("versions", "current", LOCK), "made"


class Given(argparse.Namespace):
    """The command line: paths are those on the target machine, `destdir` is the directory where its tree is built."""

    destdir: str
    prefix: str
    bin: str
    python: str
    runtime: str
    shell: str
    grep: str
    site: str
    pip: str
    name: str
    parts: str
    flat: bool

    @property
    def lib(self) -> str:
        return f"{self.prefix}/lib/oci-systemd"

    @property
    def share(self) -> str:
        return f"{self.prefix}/share"

    def outside(self, path: str) -> Path:
        """Return the path of `path` for this process."""
        return Path(self.destdir + path)

    @property
    def tree(self) -> Tree:
        return Tree(self.destdir or "/")


class Text(NamedTuple):
    """A change of one file (host/tree.py, Change)."""

    path: str
    old: str | None
    new: str | None
    mode: int = 0o644


def main(words: Sequence[str]) -> None:
    given = arguments(words)
    os.umask(0o022)  # other users run the programs too
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))  # to clean up what was begun
    try:
        check(given)
        if given.flat:
            put_flat(given)
        else:
            with alone(given) as made:
                install(given, made)
            sys.stdout.write(f"{advice(given)}\n")
    except Problem as problem:
        sys.exit(f"make install: {problem}")
    except OSError as error:
        sys.exit(f"make install: {error.filename}: {error.strerror}; the installation is unchanged")


def advice(given: Given) -> str:
    """Return what to do next, in a sentence."""
    done = f"installed {given.bin}/oci-systemd-runtime in front of {given.runtime}"
    if given.pip or given.site:
        return f"{done}; next: oci-systemd install containerd (or crio, docker, podman)"
    remedy = "install again without DEPENDENCIES=no, or with SITE=DIRECTORY that has them"
    return f"{done}, without the packages that the command oci-systemd needs; for that, {remedy}"


def arguments(words: Sequence[str]) -> Given:
    parser = argparse.ArgumentParser(prog="packaging/install", description=__doc__)
    option = parser.add_argument
    option("--destdir", default="", help="the root to install into")
    option("--prefix", default="/usr/local")
    option("--bin", help="where others find the programs (default: PREFIX/bin)")
    option("--python", required=True, help="the interpreter that runs the wrapper")
    option("--runtime", required=True, help="the real runtime")
    option("--shell", default="/bin/sh")
    option("--grep", default="/usr/bin/grep")
    option("--site", default="", help="directories with the packages that the command line needs, with colons between")
    option("--pip", default="", help="a Python with pip, to fetch those packages; none are fetched without")
    option("--name", default=__version__, help="what the version is called")
    option("--parts", choices=("all", "version", "texts"), default="all")
    option("--flat", action="store_true", help="one version, in a directory of its own: no links, no list")
    given = parser.parse_args(words, Given())
    given.destdir = given.destdir.rstrip("/")
    given.bin = given.bin or f"{given.prefix}/bin"
    return given


def check(given: Given) -> None:
    """Raise a Problem if a path is unsupported in a script, or there is no runtime."""
    for path in (given.prefix, given.bin, given.python, given.runtime, given.shell, given.grep, given.site):
        if not SAFE.fullmatch(path):
            raise Problem(
                f"{path!r}: unsupported path; PREFIX, PYTHON, RUNTIME and SITE may have letters, digits and -+./:=@_"
            )
    if not given.runtime:
        raise Problem(
            "no container runtime on PATH: install runc or crun, or name one: make install RUNTIME=/path/to/runc"
        )
    if not given.destdir and not os.access(given.runtime, os.X_OK):
        raise Problem(f"RUNTIME='{given.runtime}': not found or not executable")


# A version


def build(given: Given, place: Path, inside: str) -> None:
    """Install the package and its launchers in `place`, which will be at `inside`."""
    ignored = shutil.ignore_patterns("__pycache__")
    shutil.copytree(SOURCE / "oci_systemd", place / "oci_systemd", ignore=ignored)
    if given.pip:
        fetch(given, place)
    compiled = compileall.compile_dir(
        place, stripdir=place, prependdir=inside, quiet=1, invalidation_mode=PycInvalidationMode.UNCHECKED_HASH
    )
    if not compiled:
        raise Problem(f"{place}: cannot be compiled by {sys.executable}")
    freeze.main(str(place))
    shutil.copy(SOURCE / "packaging/launcher/damaged", place)


def fetch(given: Given, place: Path) -> None:
    """Install the packages for the command line with pip: the locked versions, checked by hash."""
    pip = [given.pip, "-m", "pip", "--python", given.python, "install", "-qq", "--no-compile", "--target", str(place)]
    if subprocess.run([*pip, "--require-hashes", "-r", str(SOURCE / "packaging/locks/runtime.txt")]).returncode:
        raise Problem("pip: cannot fetch the packages that the command line needs; the installation is unchanged")
    shutil.rmtree(place / "bin", ignore_errors=True)


def put_launchers(given: Given, folder: Path, inside: str) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for name in PROGRAMS:
        text = (SOURCE / f"packaging/launcher/{name}.in").read_text()
        (folder / name).write_text(filled(given, text, inside).replace("/bin/sh", given.shell, 1))
        (folder / name).chmod(0o755)


def filled(given: Given, text: str, inside: str) -> str:
    """Return a template with its paths filled in."""
    values = {
        "PYTHON": given.python,
        "LIB": inside,
        "RUNTIME": given.runtime,
        "SH": given.shell,
        "GREP": given.grep,
        "BIN": given.bin,
        "SITE": given.site,
    }
    return re.sub("@(" + "|".join(values) + ")@", lambda match: values[match[1]], text)


def open_to_all(top: Path) -> None:
    """Make everything below `top` readable for all users, whatever the umask was."""
    for folder, _, names in os.walk(top):
        Path(folder).chmod(0o755)
        for place in (Path(folder, name) for name in names):
            place.chmod(0o755 if place.stat().st_mode & 0o100 else 0o644)


# Texts


def texts(given: Given, lib: Path) -> dict[str, str]:
    """Return each text by its path; with manual pages and completions if the package in `lib` finds its dependencies."""
    ours = {f"{given.share}/oci-systemd/config.toml": (SOURCE / "packaging/config.toml").read_text()}
    ours[f"{given.share}/oci-systemd/in-use"] = (
        SOURCE / "packaging/install/in-use"
    ).read_text()  # for a package's removal
    for template in sorted((SOURCE / "hooks.d").glob("*.json*")):
        path = f"{given.share}/oci-systemd/hooks.d/{template.name.removesuffix('.in')}"
        ours[path] = filled(given, template.read_text(), "")
    unit = SOURCE / f"packaging/systemd/{UNIT}.in"
    ours[f"{given.prefix}/lib/systemd/system/{UNIT}"] = filled(given, unit.read_text(), "")
    return ours | (pages(given, lib) if given.pip else {})


def pages(given: Given, lib: Path) -> dict[str, str]:
    """Return the files that packaging/man writes."""
    place = lib / "share"
    words = [sys.executable, "-B", str(SOURCE / "packaging/man"), str(place)]
    subprocess.run(words, env=os.environ | {"PYTHONPATH": str(lib)}, check=True)
    found = {
        f"{given.share}/{each.relative_to(place)}": each.read_text() for each in place.rglob("*") if each.is_file()
    }
    shutil.rmtree(place)
    return found


def put_flat(given: Given) -> None:
    """Install everything in one directory, which must be empty."""
    lib = given.outside(given.lib)
    build(given, lib, given.lib)
    put_launchers(given, given.outside(f"{given.prefix}/bin"), given.lib)
    for path, text in texts(given, lib).items():
        given.outside(path).parent.mkdir(parents=True, exist_ok=True)
        given.outside(path).write_text(text)
    open_to_all(given.outside(given.prefix))


# Installing


@contextmanager
def alone(given: Given) -> Iterator[list[str]]:
    """Lock out other installations, with a file that only its owner may open. Return the directories made for it."""
    lib = given.outside(given.lib)
    made = missing(given, [f"{given.lib}/versions/V"])
    lib.mkdir(parents=True, exist_ok=True)
    with os.fdopen(os.open(lib / LOCK, os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o600)) as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise Problem(f"{lib}: in use by another installation; try again") from None
        try:
            yield made
        except BaseException:
            if not (lib / "current").is_symlink():
                forget(given, lib, made)
            raise


def forget(given: Given, lib: Path, made: Sequence[str]) -> None:
    """Remove the lock, and the directories made for it."""
    (lib / LOCK).unlink(missing_ok=True)
    for folder in sorted(made, reverse=True):
        try:
            given.outside(folder).rmdir()
        except OSError:
            return


def install(given: Given, made: Iterable[str]) -> None:
    """Add a new version beside the existing ones, and make it current. `made`: the new directories."""
    others = given.outside(f"{given.lib}/versions")
    before = listed(given)
    made = {*(path for path in before if path.endswith("/")), *made}
    if (others.with_name(MADE)).is_file():
        made |= {f"{folder}/" for folder in others.with_name(MADE).read_text().split()}
    others.mkdir(exist_ok=True)
    versions.sweep(others)
    name = free_name(given.name, others)
    beside = others / f".{name}.new"
    try:
        beside.mkdir()
        prepare(given, beside, f"{given.lib}/versions/{name}", before, made)
    except BaseException:
        shutil.rmtree(beside, ignore_errors=True)
        raise
    beside.rename(others / name)
    versions.link(others.with_name("current"), f"versions/{name}")
    for path, target in links(given).items():
        versions.link(given.outside(path), target)
    clear(given, versions.Version(given.lib, name, others / name))


def prepare(given: Given, beside: Path, inside: str, before: Sequence[str], made: Iterable[str]) -> None:
    """Make the version in `beside`, and install the texts. `before` has the lists of the older versions."""
    if given.parts != "texts":
        build(given, beside, inside)
        put_launchers(given, beside / "bin", inside)
    wanted = texts(given, beside) if given.parts != "version" else {}
    others = [*wanted, *links(given), f"{given.lib}/{LOCK}", f"{given.lib}/current"]
    write_list(beside, inside, [*others, *made, *missing(given, others)])
    open_to_all(beside)
    settle(beside)
    gone = {path for path in before if not path.endswith("/") and not path.startswith(f"{given.lib}/")} - {*others}
    change(given.tree, wanted, sorted(gone))


def links(given: Given) -> dict[str, str]:
    """Return the links to the programs, with their targets."""
    if given.parts != "all":
        return {}
    folder = f"{given.prefix}/bin"
    return {f"{folder}/{each}": os.path.relpath(f"{given.lib}/current/bin/{each}", folder) for each in PROGRAMS}


def clear(given: Given, version: versions.Version) -> None:
    """Remove the older versions that are not used any more. The next installation removes the rest."""
    try:
        versions.prune(version, given.tree, ())
    except Problem as problem:
        sys.stderr.write(f"make install: {problem}; the older version stays until the next installation\n")
    lib = given.outside(given.lib)
    if (lib / MADE).is_file():
        time.sleep(PAUSE)
        for place in (each for each in lib.iterdir() if each.name not in KEPT):
            shutil.rmtree(place) if place.is_dir() else place.unlink()


def free_name(name: str, others: Path) -> str:
    """Return `name`, with a number appended if a version of that name exists."""
    taken = {each.name for each in others.iterdir()}
    names = (f"{name}-{number}" if number > 1 else name for number in range(1, len(taken) + 2))
    return next(name for name in names if name not in taken)


def missing(given: Given, paths: Sequence[str]) -> list[str]:
    """Return the missing directories of these paths, each with a final slash."""
    folders = {str(folder) for path in paths for folder in Path(path).parents}
    return sorted(f"{folder}/" for folder in folders if not given.outside(folder).exists())


def listed(given: Given) -> list[str]:
    """Return the lists of the existing versions."""
    files = sorted(given.outside(f"{given.lib}/versions").glob(f"[!.]*/{FILES}"))
    return [path for file in files for path in file.read_text().splitlines()]


def write_list(beside: Path, inside: str, more: Sequence[str]) -> None:
    """Write the list of a version: one path a line, directories with a final slash."""
    own = [f"{inside}/", f"{inside}/{FILES}"]
    for each in beside.rglob("*"):
        own.append(f"{inside}/{each.relative_to(beside)}" + ("/" if each.is_dir() else ""))
    (beside / FILES).write_text("".join(f"{path}\n" for path in sorted({*own, *more})))


def settle(top: Path) -> None:
    """Wait until everything below `top` is on disk, before the rename."""
    for folder, _, names in os.walk(top):
        for name in names:
            flush(f"{folder}/{name}")
        flush_folder(folder)


def change(tree: Tree, wanted: Mapping[str, str], gone: Sequence[str]) -> None:
    """Write the texts `wanted` and remove those in `gone`: all of them, or none."""
    for path in (*wanted, *gone):
        for left in LEFT:  # from a killed installation
            tree.outside(path).with_name(f".{Path(path).name}.{left}").unlink(missing_ok=True)
    changes = [Text(path, tree.read(path), text) for path, text in wanted.items()]
    changes += [Text(path, tree.read(path), None) for path in gone]
    tree.commit([each for each in changes if each.old != each.new])


if __name__ == "__main__":
    main(sys.argv[1:])
