"""Make the machine-id that a container gets through $container_uuid (systemd, Container Interface).

systemd accepts only an id128: 32 hex digits, or a UUID of 36 characters. It ignores a longer value, such as a container ID of 64
digits, without a message, and makes a new machine-id every time the container starts (sd-id128.c, sd_id128_from_string).
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from oci_systemd.core.container import Container

HEX = frozenset("0123456789abcdefABCDEF")
NAMESPACE_OID = "6ba7b8129dad11d180b400c04fd430c8"  # RFC 9562, section 6.6
ZERO = "0" * 32
DASHES = (8, 13, 18, 23)


def parse(text: str) -> str:
    """Return the 32 lower-case digits of an id128, or "" if `text` is not one. All zeros means "no id"."""
    if len(text) == 36 and all(text[index] == "-" for index in DASHES):
        text = text[:8] + text[9:13] + text[14:18] + text[19:23] + text[24:]
    good = len(text) == 32 and HEX.issuperset(text) and text != ZERO
    return text.lower() if good else ""


def uuid5(namespace: str, name: str) -> str:
    """Return the version 5 UUID (RFC 9562) of `name` in `namespace`; both IDs have 32 hex digits."""
    from _sha1 import sha1  # type: ignore[import-not-found]  # the interpreter's own; hashlib would load OpenSSL

    digest = bytearray(
        sha1(bytes.fromhex(namespace) + name.encode(errors="surrogatepass"), usedforsecurity=False).digest()[:16]
    )
    digest[6] = digest[6] & 0x0F | 0x50
    digest[8] = digest[8] & 0x3F | 0x80
    return digest.hex()


def from_container_id(id: str, pod_uid: str, name: str) -> str:
    """Return an id128 from the first 32 digits of a hex ID, else from the pod's UID and the container's name, else from a hash of
    the ID. "" without an ID."""
    head = parse(id[:32])
    if head and "-" not in id[:32]:
        return head
    return id and (from_pod(pod_uid, name) or uuid5(NAMESPACE_OID, id))


def from_pod(pod_uid: str, name: str) -> str:
    """Return an id128 that stays the same when the container `name` of this pod restarts. "" without a valid UID or a name."""
    namespace = parse(pod_uid)
    return uuid5(namespace, name) if namespace and name else ""


def from_name(path: str) -> str:
    """Return an id128 that every pod of this name has, such as one that a StatefulSet creates again. "" without a name."""
    return path and uuid5(NAMESPACE_OID, path)


def full_name(container: Container) -> str:
    """Return `namespace/pod/container`; "" if a part is unknown."""
    parts = (container.pod_namespace, container.pod_name, container.name)
    return "/".join(parts) if all(parts) else ""


def pod_uid(container: Container) -> str:
    """Return the pod's UID if it is a UUID, else ""."""
    return container.pod_uid if parse(container.pod_uid) else ""


def made(container: Container, source: str) -> str:
    """Return the machine-id made from `source`, a key of MADE; "" if a part of the source is unknown."""
    return MADE[source](container)


MADE: dict[str, Callable[[Container], str]] = {
    "container": lambda each: from_container_id(each.id, pod_uid(each), each.name),
    "pod": lambda each: from_pod(pod_uid(each), each.name),
    "name": lambda each: from_name(full_name(each)),
}
