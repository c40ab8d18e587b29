"""Install the wrapper into an engine's configuration, and uninstall it: turn a request into a plan, check it, carry it out.

Invariant: a plan that would not be in effect is not written. As long as a file still has our launcher, uninstall reports it.
"""

from __future__ import annotations

import time
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING

from oci_systemd.core.errors import Problem
from oci_systemd.engines import containerd_files, record
from oci_systemd.engines import plan as plans
from oci_systemd.engines.engines import ENGINES, command_of
from oci_systemd.engines.launcher import behind, is_ours, programs_in, stub
from oci_systemd.engines.place import PROGRAMS, Place, find
from oci_systemd.engines.plan import Edit, Overlay, Plan
from oci_systemd.engines.state_roots import BUNDLES_OF_SHIMS
from oci_systemd.engines.wanted import Wanted
from oci_systemd.host import commands, in_use, kubernetes, limits, versions
from oci_systemd.host.termination import interruptible
from oci_systemd.installation import checks, effective, installed, sysctl
from oci_systemd.installation.transaction import Transaction

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from oci_systemd.host.tree import Tree
    from oci_systemd.installation.effective import Answer
    from oci_systemd.installation.transaction import Reporter

FEW = 3  # names or IDs in a sentence
PAUSE = 2.0  # seconds between two checks for running containers
CLUSTER = ("containerd", "crio")  # the engines of cluster nodes
PLAIN = ("", "runc", "crun")  # runtimes that need no note


@dataclass(frozen=True)
class Request:
    """A user's request for an engine: our `handler`, with that real `runtime` ("" for the engine's own). `automatic`: restart it.

    `config` and `launcher` are absolute paths, "" to look for them. `node`: the cluster node that gets a label. `show` receives the
    plan in a dry run; None to carry out the plan. `sysctl`: raise the node's limits.
    """

    tree: Tree
    engine: str
    handler: str
    report: Reporter
    automatic: bool = False
    node: str = ""
    runtime: str = ""
    default: bool = False
    hook: bool = False
    config: str = ""
    launcher: str = ""
    force: bool = False
    sysctl: bool = False
    show: Callable[[Plan], None] | None = None


# Installing


def install(request: Request) -> None:
    """Make the wrapper a runtime of the engine. If it would not be in effect, raise a Problem and change nothing."""
    check_node(request)
    if request.sysctl:
        sysctl.check(request.tree)
    tree, engine = request.tree, request.engine
    place = find(tree, engine, ENGINES[engine].PLACES, request.config)
    plan, after = plan_of(request, place)
    transaction = _transaction(request, place, plan)
    restart = False
    if not after.asked:
        transaction = replace(transaction, remark=f"{place.title} was not asked: {after.source}")
    if request.show:
        request.show(plan)
        if plan.changes and transaction.remark:
            request.report.line(transaction.remark)
    else:
        _check_unused(request, [change.path for change in plan.changes if change.new is None], "")
        restart = transaction.must_restart(plan)
        _deploy(request)
        transaction.carry_out(plan, restart=restart)
        _deploy(request)  # again: until now no file had it, and another call may have removed it
        _prune(request)
    if not plan.changes and not restart:
        request.report.line(f"{engine}: handler {request.handler} is up to date; nothing to do")
    _set_limits(request)
    if request.node and not request.show:
        _label(request, transaction, restart=restart)


def _set_limits(request: Request) -> None:
    """Raise the node's limits, or restore those that were raised for this handler; report limits that leave little room."""
    tree, owner = request.tree, sysctl.Owner(request.engine, request.handler)
    (sysctl.raise_limit if request.sysctl else sysctl.take_back)(tree, owner, request.report, request.show)
    if request.node and not request.show:
        found = limits.limits(tree.outside("/proc"), checks.EACH[limits.INSTANCES], checks.NODE)
        short = [f"{each.said}: {each.remedy}" for each in checks.limits(found) if each.status != checks.PASS]
        for sentence in short:
            request.report.note(sentence)
        kubernetes.leave_message(short)


def plan_of(request: Request, place: Place) -> tuple[Plan, Answer]:
    """Return the plan for a request, and the configuration in effect after it. Raise a Problem if that is not as requested."""
    tree, engine, handler = request.tree, request.engine, request.handler
    module = ENGINES[engine]
    version = commands.version(_program(tree, place), tree.root) if engine in CLUSTER else ""
    without = Overlay(tree, plans.uninstall(engine, handler, tree).changes)
    before = effective.ask(engine, without, tree, place)
    wanted, more = _wanted(request, place, without, before, version)
    plan = plans.install(
        engine,
        handler,
        tree,
        lambda base: [*more, *module.edits(base, place.main, wanted, version)],
        restart=command_of(tree, place.removal or place.restart),
    )
    planned = Overlay(tree, plan.changes)
    after = effective.ask(engine, planned, tree, place)
    if before.refused:
        said = f"{place.title}: {before.asked} refuses its present files: {before.refused}"
        if engine == "containerd":
            raise Problem(f"{said}; correct them; no file is changed")
        request.report.note(said)  # the units of dockerd and CRI-O may add options that make the files valid
        return plan, replace(after, asked="")
    if after.asked:
        hint = containerd_files.in_the_way(planned, place.main, handler, version) if engine == "containerd" else ""
        effective.check(engine, place.title, wanted, before, after, hint)
    return plan, after


def _wanted(
    request: Request, place: Place, without: Overlay, before: Answer, version: str
) -> tuple[Wanted, list[Edit]]:
    """Return the handler for the engine, and the edit that writes a stub for it."""
    module = ENGINES[request.engine]
    called = installed.launcher(request.tree, request.launcher)
    like = before.details.model if before.details and before.asked else None
    program = (
        behind(without, containerd_files.binary(like)) if like else module.base_runtime(without, place.main, version)
    )
    own = program or ("runc" if place.bins else "")
    real, binary, more = _behind(request, called, place, request.runtime or own)
    if own not in PLAIN and not request.runtime and not any(own.endswith(f"/{plain}") for plain in PLAIN[1:]):
        request.report.note(
            f"{request.handler} calls {own}, the runtime of the node's default handler; to change it, pass --runtime"
        )
    hooks = _hooks(called) if request.hook else ""
    return Wanted(request.handler, binary, real, request.default, hooks, like), more


def _transaction(request: Request, place: Place, plan: Plan) -> Transaction:
    tree, engine, handler = request.tree, request.engine, request.handler
    needed = command_of(tree, place.removal if plan.takes_back and place.removal else place.restart)
    return Transaction(
        tree, engine, handler, needed, request.automatic, request.report, place.socket,
        bool(place.socket) and tree.exists(place.socket), undo=lambda: plans.uninstall(engine, handler, tree),
    )  # fmt: skip


def _behind(request: Request, launcher: installed.Launcher, place: Place, runtime: str) -> tuple[str, str, list[Edit]]:
    """Return the real runtime, the program that the engine calls for it, and the edit that writes that program."""
    tree, name = request.tree, runtime or launcher.usual
    real = tree.program(name, (*place.bins, *PROGRAMS))
    if not real or is_ours(real) or is_ours(str(tree.outside(real))):
        raise Problem(f"real runtime {name!r}: not found, or is oci-systemd-runtime itself; pass --runtime PATH")
    if tree.outside(real) == tree.outside(launcher.runtime):
        return real, launcher.path, []
    folder = installed.stubs(tree, launcher.path)
    path, text = stub(launcher.path, real, request.engine, request.handler, launcher.shell, folder)
    return real, path, [Edit(path, (), text)]


def _hooks(launcher: installed.Launcher) -> str:
    if not launcher.hooks:
        raise Problem(f"hooks: not found beside {launcher.path}; run `make install`")
    return launcher.hooks


def _program(tree: Tree, place: Place) -> str:
    return tree.program(place.program, PROGRAMS) or place.program


# Uninstalling


def uninstall(request: Request) -> bool:
    """Remove what install wrote. Return whether no file has the handler any more; a note names each file that still has it."""
    check_node(request)
    if request.node and not request.show:  # first, so that no new pod arrives
        _unlabel(request)
    left = _left(request, _planned_removal(request))
    if left:
        for sentence in left:
            request.report.note(sentence)
        return False
    serves = _remove(request)
    sysctl.take_back(request.tree, sysctl.Owner(request.engine, request.handler), request.report, request.show)
    if not request.show and not serves:
        _take_away(request)
    return True


def _planned_removal(request: Request) -> Plan:
    """Return the plan that removes the handler from every file of the engine."""
    module = ENGINES[request.engine]
    mains = partial(_mains, request)
    return plans.uninstall(
        request.engine,
        request.handler,
        request.tree,
        lambda tree: [*dict.fromkeys(at for main in mains() for at in module.named(tree, main, request.handler))],
    )


def _mains(request: Request) -> list[str]:
    """Return the configuration files to read: the engine's usual ones, and those that were written."""
    tree = request.tree
    usual = [place.main for place in ENGINES[request.engine].PLACES if tree.exists(place.main)]
    known = record.read(tree.read(record.path(request.engine)), request.engine)
    written = (entry.file for entry in known.of(request.handler) if entry.at)
    return [
        *dict.fromkeys([*usual, *(file for file in written if not file.endswith(".tmpl"))])
    ]  # a template cannot be parsed


def _left(request: Request, plan: Plan) -> list[str]:
    """Return a sentence for each place where the engine would still have the handler after `plan`."""
    tree, engine, handler = request.tree, request.engine, request.handler
    module, after = ENGINES[engine], Overlay(request.tree, plan.changes)
    found = []
    for main in _mains(request):
        for file, at in module.named(after, main, handler):
            found.append(
                f"{file}: {'.'.join(at)} still has handler {handler}, which install did not write there; remove it, "
                "then uninstall again; no file is changed"
            )
    if found:
        return [*dict.fromkeys(found)]
    for place in module.PLACES:
        if tree.exists(place.main) and plan.changes:
            said = effective.ask(engine, after, tree, place)
            if said.asked and handler in said.ours:
                found.append(
                    f"{place.title}: {said.asked} shows that handler {handler} would still exist, in a file that oci-systemd does "
                    "not read; remove it there, then uninstall again; no file is changed"
                )
    return found


def _remove(request: Request) -> bool:
    """Remove the handler from the engine's files. Return whether the engine has it until its next restart."""
    tree, engine, handler = request.tree, request.engine, request.handler
    known = record.read(tree.read(record.path(engine)), engine)
    transaction = Transaction(tree, engine, handler, known.restart, request.automatic, request.report)
    if handler not in known.handlers:
        others = f" (installed: {', '.join(known.handlers)})" if known.handlers else ": already gone"
        request.report.line(f"{engine}: handler {handler} is not installed{others}; nothing to do")
        return not request.show and replace(transaction, command="").complete()
    plan = _planned_removal(request)
    if request.show:
        request.show(plan)
        return False
    if not request.force:
        programs = [program for entry in known.of(handler) for program in programs_in(entry.now)]
        if request.node and request.automatic:
            _wait_unused(request, programs)
        _check_unused(request, programs, ", or use --force")
    restart = transaction.must_restart(plan)
    transaction.carry_out(plan, restart=restart)
    return restart and not request.automatic and bool(known.restart)


def _check_unused(request: Request, programs: Iterable[str], otherwise: str) -> None:
    """Raise a Problem if containers of the engine call one of our `programs`."""
    if who := _users(request, programs):
        raise Problem(f"{who}, and cannot be stopped without it; remove it first{otherwise}")


def _users(request: Request, programs: Iterable[str]) -> str:
    """Return in words who calls one of our `programs`; "" if nobody does."""
    ours = {program for program in programs if is_ours(program)}
    found = in_use.users(request.tree, request.engine, ours, BUNDLES_OF_SHIMS)
    words = [_counted(len(found.pods), "pod"), _counted(len(found.containers), f"container of {request.engine}")]
    named = [*found.pods, *(id[:12] for id in found.containers)]
    if not named:
        return ""
    uses = "uses" if len(named) == 1 else "use"
    shown = ", ".join(named[:FEW]) + (", …" if len(named) > FEW else "")
    return f"{' and '.join(each for each in words if each)} still {uses} the wrapper ({shown})"


def _counted(number: int, what: str) -> str:
    """Return `a pod`, `2 pods`, `3 containers of docker`; "" for none."""
    first, *rest = what.split(" ", 1)
    return " ".join([f"{number} {first}s", *rest]) if number > 1 else f"a {what}" if number else ""


def _wait_unused(request: Request, programs: Iterable[str]) -> None:
    """Wait until no container calls one of `programs`, since in a pod nobody types the command again. SIGTERM ends the wait."""
    programs = [*programs]
    if not (who := _users(request, programs)):
        return
    request.report.line(f"waiting: {who}; the node's files are unchanged until then")
    with interruptible("stopped by SIGTERM while waiting; nothing was removed"):
        while _users(request, programs):
            time.sleep(PAUSE)


# The self-contained tree


def _deploy(request: Request) -> None:
    """If this process runs from a self-contained tree, install the tree in the root."""
    version = versions.own()
    for sentence in versions.deploy(version, request.tree) if version else ():
        request.report.line(sentence)


def _prune(request: Request) -> None:
    """Remove the versions that are not used any more. If that fails, they do no harm."""
    version = versions.own()
    try:
        for sentence in versions.prune(version, request.tree, BUNDLES_OF_SHIMS) if version else ():
            request.report.line(sentence)
    except Problem as problem:
        request.report.note(f"old versions are not removed: {problem}")


def _take_away(request: Request) -> None:
    """Remove the self-contained tree from the root with the last handler that calls it."""
    version = versions.own()
    if not version or request.tree.is_this_machine:
        return
    try:
        for sentence in versions.remove(version, request.tree, BUNDLES_OF_SHIMS, partial(_called, request.tree)):
            request.report.line(sentence)
    except Problem as problem:
        if not request.force:
            raise
        request.report.note(str(problem))


def _called(tree: Tree) -> Iterator[str]:
    """Yield every program of ours that an engine calls, from the record and from its files."""
    for engine, module in ENGINES.items():
        for entry in record.read(tree.read(record.path(engine)), engine).entries:
            yield from programs_in(entry.now)
        for place in module.PLACES:
            if tree.exists(place.main):
                yield from module.wrapped(tree, place.main).values()


# The cluster


def check_node(request: Request) -> None:
    if request.node and request.engine not in CLUSTER:
        raise Problem(f"--node: unsupported with {request.engine}, which is not a cluster's engine; leave it out")


def _label(request: Request, transaction: Transaction, *, restart: bool) -> None:
    """Label the node once the handler is in effect: the cluster then schedules pods on it."""
    node, report = request.node, request.report
    if restart and not transaction.automatic and transaction.command:
        report.note(f"node {node}: not labelled yet; run `{transaction.command}`, then this command again")
        return
    if transaction.socket and not transaction.can_ask:
        report.note(f"{transaction.socket}: not found; the engine cannot be asked whether the handler is in effect")
    transaction.verify()
    try:
        kubernetes.label(node, transaction.handler)
    except kubernetes.Unable as unable:
        report.note(str(unable))
        return
    report.line(f"node {node}: labelled {kubernetes.LABEL}={transaction.handler}")


def _unlabel(request: Request) -> None:
    try:
        if kubernetes.unlabel(request.node, request.handler):
            request.report.line(f"node {request.node}: removed label {kubernetes.LABEL}={request.handler}")
        else:
            request.report.line(f"node {request.node}: label {kubernetes.LABEL} not found: already gone")
    except kubernetes.Unable as unable:
        request.report.note(str(unable))
