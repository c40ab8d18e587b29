"""`oci-systemd nri`: the NRI plugin as a program, for a unit, a pod or the runtime itself to start."""

from __future__ import annotations

import os
import re
import socket
from functools import partial
from typing import TYPE_CHECKING

import click

from oci_systemd.cli.given import chosen_file
from oci_systemd.cli.output import out
from oci_systemd.core.errors import Problem
from oci_systemd.host import settings_file
from oci_systemd.host.log import LEVELS, Entry

if TYPE_CHECKING:
    from oci_systemd.nri.health import Health
    from oci_systemd.nri.log import Log
    from oci_systemd.nri.plugin import Message, Plugin

SOCKET = "/var/run/nri/nri.sock"
USUAL = ("10", "oci-systemd")  # index and name
# Where a runtime starts the plugin itself, it says so in its environment (nri, plugin.go).
LAUNCHED, IDX, NAME = "NRI_PLUGIN_SOCKET", "NRI_PLUGIN_IDX", "NRI_PLUGIN_NAME"
EXAMPLES = """\b
Examples:
  oci-systemd nri                                   serve until SIGTERM
  oci-systemd nri --log-level debug                 with a line for each container that is left alone
  oci-systemd nri --metrics 127.0.0.1:9753          counts for Prometheus
  oci-systemd nri --check                           is the one that runs connected? For probes

\b
Exit status: 0 after SIGTERM, 1 where --check finds it not connected, 2 where the runtime does not take it.
The settings file is read again when it changes; SIGHUP has it read at once.
"""


@click.command(epilog=EXAMPLES)
@click.option("--idx", "-idx", default=USUAL[0], show_default=True, metavar="NN", help="Its place among the plugins.")
@click.option("--name", default=USUAL[1], show_default=True, help="What the runtime knows it by.")
@click.option(
    "--socket-path", "-socket-path", default=SOCKET, show_default=True, metavar="PATH", help="The runtime's NRI socket."
)
@click.option(
    "--log-level", type=click.Choice([*LEVELS]), help="The least level that is logged (default: the settings')."
)
@click.option(
    "--verbose", "-verbose", is_flag=False, flag_value=True, default=False, type=bool, metavar="",
    help="Print each request and its adjustment, too.",
)  # fmt: skip
@click.option("--metrics", default="", metavar="HOST:PORT", help="Serve counts to Prometheus there.")
@click.option("--check", is_flag=True, help="Ask the one that runs with these options whether it is connected.")
def nri(
    idx: str, name: str, socket_path: str, log_level: str | None, verbose: bool, metrics: str, check: bool
) -> None:  # fmt: skip
    """Adjust containers as an NRI plugin of containerd or CRI-O.

    It does what the wrapper runtime does, for every container of the node, where NRI is on. NRI carries no stop signal, no
    SELinux label, no AppArmor profile and removes no device: where a container would have had that, the log says so.
    """
    if check:
        _check(socket_path, idx, name)
        return
    _serve(os.environ.get(IDX, idx), os.environ.get(NAME, name), socket_path, log_level, metrics, verbose=verbose)


def is_connected() -> bool:
    """Whether a plugin that was started without options is connected to a runtime."""
    from oci_systemd.nri.health import address, check

    try:
        return bool(check(address(SOCKET, *USUAL)))
    except Problem:
        return False


def _check(path: str, idx: str, name: str) -> None:
    from oci_systemd.nri.health import address, check

    try:
        out(check(address(path, idx, name)) + "\n")
    except Problem as problem:
        out(f"{problem}\n")
        click.get_current_context().exit(1)


def _serve(idx: str, name: str, path: str, level: str | None, metrics: str, *, verbose: bool) -> None:
    from oci_systemd.nri.log import Log
    from oci_systemd.nri.node import look
    from oci_systemd.nri.plugin import Plugin
    from oci_systemd.nri.serve import Identity, Server, Signals

    if not re.fullmatch("[0-9]{2}", idx):
        raise Problem(f"--idx {idx!r} is not two digits, such as 10")
    if not re.fullmatch("[A-Za-z0-9_.+-]+", name):
        raise Problem(f"--name {name!r} is not of letters, digits and -_.+")
    launched = os.environ.get(LAUNCHED, "")
    file = chosen_file(None) or settings_file.chosen(os.environb)
    see = partial(look, file, "debug" if verbose and not level else level)
    log = Log(lambda: plugin.node.settings, launched=bool(launched))
    plugin = Plugin(see(), log.tell, partial(_show, log) if verbose else None)
    if metrics:
        _serve_metrics(metrics, plugin)
    server = Server(
        Identity(idx, name), plugin, log, Signals(), see, None if launched else _health(path, idx, name, log)
    )
    try:
        if launched:
            server.run_launched(_inherited(launched))
        else:
            server.run(path)
    finally:
        log.close()


def _health(path: str, idx: str, name: str, log: Log) -> Health | None:
    from oci_systemd.nri.health import Health, address

    try:
        return Health(address(path, idx, name))
    except OSError as error:
        said = f"--check will not find this plugin, since another process has its place: {error.strerror or error}"
        log.tell(Entry("warning", "health", None, said))
        return None


def _serve_metrics(address: str, plugin: Plugin) -> None:
    try:
        from oci_systemd.nri.metrics import serve
    except ImportError:
        raise Problem(
            "--metrics needs the Python package prometheus-client: install it, or leave --metrics out"
        ) from None
    serve(address, plugin)


def _inherited(number: str) -> socket.socket:
    try:
        return socket.socket(fileno=int(number))
    except (ValueError, OSError):
        raise Problem(f"{LAUNCHED} is {number!r}, which is no descriptor of a socket") from None


def _show(log: Log, title: str, message: Message | None) -> None:
    from google.protobuf.json_format import MessageToJson

    log.show(f"{title} {MessageToJson(message, preserving_proto_field_name=True) if message else 'none'}")
