"""`oci-systemd nri`: run the NRI plugin, started by a unit, a pod or the runtime itself."""

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
# Set by a runtime that starts the plugin itself (nri, plugin.go).
LAUNCHED, IDX, NAME = "NRI_PLUGIN_SOCKET", "NRI_PLUGIN_IDX", "NRI_PLUGIN_NAME"
EXAMPLES = """\b
Examples:
  oci-systemd nri                                   serve until SIGTERM
  oci-systemd nri --log-level debug                 also log each container that is left alone
  oci-systemd nri --metrics 127.0.0.1:9753          serve metrics to Prometheus
  oci-systemd nri --check                           check that the running plugin is connected, for probes

\b
Exit status: 0 after SIGTERM, 1 if --check finds it not connected, 2 if the runtime rejects it.
The settings file is read again when it changes; on SIGHUP it is read at once.
"""


@click.command(epilog=EXAMPLES)
@click.option(
    "--idx", "-idx", default=USUAL[0], show_default=True, metavar="NN", help="Order among the plugins: two digits."
)
@click.option("--name", default=USUAL[1], show_default=True, help="Name of the plugin.")
@click.option(
    "--socket-path", "-socket-path", default=SOCKET, show_default=True, metavar="PATH", help="The runtime's NRI socket."
)
@click.option(
    "--log-level", type=click.Choice([*LEVELS]), help="The lowest level that is logged (default: from the settings)."
)
@click.option(
    "--verbose", "-verbose", is_flag=False, flag_value=True, default=False, type=bool, metavar="",
    help="Also print each request and its adjustment.",
)  # fmt: skip
@click.option("--metrics", default="", metavar="HOST:PORT", help="Serve metrics to Prometheus at this address.")
@click.option("--check", is_flag=True, help="Check whether the plugin that runs with these options is connected.")
def nri(
    idx: str, name: str, socket_path: str, log_level: str | None, verbose: bool, metrics: str, check: bool
) -> None:  # fmt: skip
    """Adjust containers as an NRI plugin of containerd or CRI-O.

    It does the same as the wrapper runtime, for every container of the node, if NRI is on. NRI does not support changes to the
    stop signal, SELinux label, AppArmor profile and devices: the log has each container that would need one.
    """
    if check:
        _check(socket_path, idx, name)
        return
    _serve(os.environ.get(IDX, idx), os.environ.get(NAME, name), socket_path, log_level, metrics, verbose=verbose)


def is_connected() -> bool:
    """Return whether a plugin that runs with the default options is connected to a runtime."""
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
        raise Problem(f"--idx {idx!r}: invalid value; use two digits, such as 10")
    if not re.fullmatch("[A-Za-z0-9_.+-]+", name):
        raise Problem(f"--name {name!r}: invalid value; use letters, digits and -_.+")
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
        said = f"--check does not work with this plugin: another process uses its address: {error.strerror or error}"
        log.tell(Entry("warning", "health", None, said))
        return None


def _serve_metrics(address: str, plugin: Plugin) -> None:
    try:
        from oci_systemd.nri.metrics import serve
    except ImportError:
        raise Problem(
            "--metrics: Python package prometheus-client not found; install it, or leave out --metrics"
        ) from None
    serve(address, plugin)


def _inherited(number: str) -> socket.socket:
    try:
        return socket.socket(fileno=int(number))
    except (ValueError, OSError):
        raise Problem(f"{LAUNCHED}={number!r}: not a socket's file descriptor") from None


def _show(log: Log, title: str, message: Message | None) -> None:
    from google.protobuf.json_format import MessageToJson

    log.show(f"{title} {MessageToJson(message, preserving_proto_field_name=True) if message else 'none'}")
