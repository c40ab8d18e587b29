"""What of a variable's value arrives in a service: by a plain argument `systemd.setenv=NAME=VALUE`, and by our annotation.

Law: each plain argument has a container of its own, so that one which systemd takes apart spoils no other.
"""

from collections.abc import Iterator

from tests.e2e.lab.container import Container
from tests.e2e.lab.node import Node
from tests.e2e.lab.rootfs import IMAGES, NODES, RootFS, prepare
from tests.measure.rows import head, row, versions

ANNOTATION = "io.systemd.container.environment"
VALUES = {
    "letters, digits, `-._/:@,+=`": "aZ09-._/:@,+=",
    "empty": "",
    "a blank within": "a b",
    "blanks at both ends": " a ",
    "blanks alone": "  ",
    "a double quote": 'a"b',
    "JSON": '{"a": [1, "b c"]}',
    "a single quote": "it's so",
    "both kinds of quotes": 'it\'s "so"',
    "`$`, `${A}`, `%n`, `%`": "$A${A}%n%",
    "backslashes": "a\\b\\n\\",
    "`*?[]{}()<>&;#!~^`": "*?[]{}()<>&;#!~^",
    "a newline within": "a\nb",
    "newlines at both ends": "\na\n",
    "a tab": "a\tb",
    "a carriage return": "a\r\nb",
    "ESC, BEL, DEL": "a\x1b[1m\x07\x7f",
    "UTF-8: `äß€😀`": "äß€😀",
    "UTF-8 control character U+0085": "a\u0085",
    "UTF-8 without a width: U+200B, U+FEFF": "a\u200b\ufeff",
    "UTF-8 noncharacter: U+FFFE": "a\ufffe",
    "`a systemd.setenv=OTHER=1 emergency`": "a systemd.setenv=OTHER=1 emergency",
    "64 KiB": "x" * 65536,
    "64 KiB of words": "xyz " * 16384,
    "131,000 bytes": "x" * 131000,
}


def environment(container: Container, unit: str = "systemd-journald") -> dict[str, str]:
    """The variables of a service's main process once the system is up; none where it does not come up."""
    container.system_state()
    process = container.output("systemctl", "show", "--property=MainPID", "--value", unit)
    path = container.proc / f"root/proc/{process}/environ"
    data = path.read_bytes().decode(errors="replace") if path.exists() else ""
    return dict(entry.partition("=")[::2] for entry in data.split("\0") if entry)


def as_argument(node: Node, image: RootFS, value: str) -> str | None:
    """What a service gets of the value; None where it gets no such variable."""
    with Container(node, image) as container:
        container.edit(lambda spec: spec["process"]["args"].append(f"systemd.setenv=MEASURED={value}"))
        container.create_and_start()
        return environment(container).get("MEASURED")


def by_annotation(node: Node, image: RootFS) -> dict[str, str | None]:
    """The same for all values in one container, by their names in the table."""
    variables = {f"MEASURED_{number}": value for number, value in enumerate(VALUES.values())}
    with Container(node, image) as container:
        ask(container, variables)
        container.create_and_start()
        found = environment(container)
    return dict(zip(VALUES, (found.get(name) for name in variables), strict=True))


def ask(container: Container, variables: dict[str, str]) -> None:
    """Give a container variables, and have services get them."""
    spec = container.spec
    spec["process"]["env"] += [f"{name}={value}" for name, value in variables.items()]
    spec["annotations"] = {**(spec.get("annotations") or {}), ANNOTATION: ",".join(variables)}
    container.write(spec)


def verdict(value: str, found: str | None) -> str:
    if found is None:
        return "left out"
    return "yes" if found == value else "changed"


def table() -> Iterator[str]:
    prepare([*IMAGES.values(), NODES["runc-1.3"]])
    yield from head("value", *(f"argument, systemd {each}" for each in versions()), "annotation, all three")
    with Node(NODES["runc-1.3"]) as node:
        node.install()
        ours = [by_annotation(node, image) for image in IMAGES.values()]
        for name, value in VALUES.items():
            cells = [verdict(value, as_argument(node, image, value)) for image in IMAGES.values()]
            annotated = {verdict(value, each[name]) for each in ours}
            yield row(name, *cells, "/".join(sorted(annotated)))
