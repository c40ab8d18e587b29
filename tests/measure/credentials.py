"""What becomes of a Secret that is mounted at /run/credentials/@system, in each systemd of the lab.

Law: the directory is laid out as the kubelet does it: `NAME -> ..data/NAME`, `..data -> ..TIME`, and rotated by one rename.
Where that is not enough, plain files are tried.
"""

from collections.abc import Callable, Iterator, Mapping

from tests.e2e.lab.container import Container
from tests.e2e.lab.life import lines
from tests.e2e.lab.node import Node
from tests.e2e.lab.rootfs import IMAGES, NODES, RootFS, prepare
from tests.measure.rows import head, row, versions

PLACE = "/run/credentials/@system"
HASH = "$6$salt$egUxKNxDs8kPfh8iPMNcosMhb2eWah6d3R44JDm5Rj/j/XWR5E33QPd0YmHXoDHOIDR6kL5D3JcQcz0O8FHE00"  # "secret"
SECRETS = {
    "app.password": "first",
    "passwd.hashed-password.root": HASH,
    "ssh.authorized_keys.root": "ssh-ed25519 AAAA lab\n",
    "tmpfiles.extra": "f /var/from-tmpfiles 0644 root root - yes\n",
    "systemd.extra-unit.extra.service": "[Service]\nType=oneshot\nExecStart=/bin/true\n",
    "sysctl.extra": "net.ipv4.ip_default_ttl=77\n",
}
TAKES = {"load": "LoadCredential=app.password", "import": "ImportCredential=app.*"}
SERVICE = """[Service]
{line}
Type=oneshot
ExecStart=/bin/sh -c 'cat "$CREDENTIALS_DIRECTORY/app.password" >/var/{name}'
"""


def write_secret(container: Container, time: str, values: Mapping[str, str]) -> None:
    """Write a state of a Secret's volume beside the last one, and have `..data` lead to it."""
    secret = container.files("secret")
    (secret / f"..{time}").mkdir(parents=True)
    for name, value in values.items():
        (secret / f"..{time}" / name).write_text(value)
        if not (secret / name).is_symlink():
            (secret / name).unlink(missing_ok=True)
            (secret / name).symlink_to(f"..data/{name}")
    (secret / "..data_tmp").symlink_to(f"..{time}")
    (secret / "..data_tmp").rename(secret / "..data")


def write_files(container: Container, time: str, values: Mapping[str, str]) -> None:
    """The same as plain files, which an init container may copy into an emptyDir."""
    container.files("secret").mkdir()
    for name, value in values.items():
        (container.files("secret") / name).write_text(value)


def mount_secret(container: Container) -> None:
    """Mount the volume as a read-only one, and give the image units that take a credential of it."""
    spec = container.spec
    source = f"{container.bundle}/secret"
    spec["mounts"].append(
        {"destination": PLACE, "type": "bind", "source": source, "options": ["rbind", "rprivate", "ro"]}
    )
    container.write(spec)
    for name, line in TAKES.items():
        text = SERVICE.format(name=name, line=line)
        (container.layer / "etc/systemd/system" / f"{name}.service").write_text(text)


def taken(container: Container, name: str) -> str:
    """What a unit of TAKES gets of its credential now; "" if it gets none."""
    path = container.layer / "var" / name
    path.unlink(missing_ok=True)
    container.exec("systemctl", "start", name)
    return "".join(lines(path))


def has_line(container: Container, path: str, part: str) -> bool:
    return any(part in line for line in lines(container.layer / path))


ROWS: dict[str, Callable[[Container], bool]] = {
    "`LoadCredential=`": lambda each: taken(each, "load") == "first",
    "`ImportCredential=` with a pattern": lambda each: taken(each, "import") == "first",
    "`systemd-creds --system list`": lambda each: "app.password" in each.output("systemd-creds", "--system", "list"),
    "`systemd-creds --system cat`": lambda each: (
        each.output("systemd-creds", "--system", "cat", "app.password") == "first"
    ),
    "`passwd.hashed-password.root`, root is in the image": lambda each: has_line(each, "etc/shadow", HASH),
    "`ssh.authorized_keys.root`": lambda each: has_line(each, "root/.ssh/authorized_keys", "AAAA lab"),
    "`tmpfiles.extra`": lambda each: has_line(each, "var/from-tmpfiles", "yes"),
    "`systemd.extra-unit.*`": lambda each: (
        each.output("systemctl", "show", "--property=LoadState", "--value", "extra.service") == "loaded"
    ),
    "`sysctl.extra`": lambda each: each.output("cat", "/proc/sys/net/ipv4/ip_default_ttl") == "77",
    "a rotated Secret, when the unit starts again": lambda each: rotated(each) == "second",
}


def rotated(container: Container) -> str:
    write_secret(container, "2026_02", SECRETS | {"app.password": "second"})
    return taken(container, "load")


def measured(
    node: Node, image: RootFS, write: Callable[[Container, str, Mapping[str, str]], None] = write_secret
) -> dict[str, bool]:
    with Container(node, image) as container:
        write(container, "2026_01", SECRETS)
        mount_secret(container)
        container.create_and_start()
        assert container.system_state() == "running", container.said
        return {name: works(container) for name, works in ROWS.items()}


def table() -> Iterator[str]:
    prepare([*IMAGES.values(), NODES["runc-1.3"]])
    with Node(NODES["runc-1.3"]) as node:
        node.install()
        found = [(measured(node, image), measured(node, image, write_files)) for image in IMAGES.values()]
    yield from head("", *(f"systemd {each}" for each in versions()))
    for name in ROWS:
        yield row(name, *(cell(linked[name], plain[name]) for linked, plain in found))


def cell(linked: bool, plain: bool) -> str:
    return "yes" if linked else "plain files alone" if plain else "no"
