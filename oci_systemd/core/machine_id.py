"""The machine-id that a container gets through $container_uuid (systemd, Container Interface).

systemd takes an id128 only: 32 hex digits, or 36 characters as a UUID. Anything longer it ignores without a word, and makes
a random machine-id at each start (sd-id128.c, sd_id128_from_string): a 64-digit container ID is such a one.
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
    """The 32 lower-case digits of an id128, or "" if `text` is none. The all-zero one is none: it means "no id"."""
    if len(text) == 36 and all(text[index] == "-" for index in DASHES):
        text = text[:8] + text[9:13] + text[14:18] + text[19:23] + text[24:]
    good = len(text) == 32 and HEX.issuperset(text) and text != ZERO
    return text.lower() if good else ""


def uuid5(namespace: str, name: str) -> str:
    """The version 5 UUID (RFC 9562) of `name` in `namespace`, both it and the result as 32 hex digits."""
    from _sha1 import sha1  # type: ignore[import-not-found]  # the interpreter's own; hashlib would load OpenSSL

    digest = bytearray(
        sha1(bytes.fromhex(namespace) + name.encode(errors="surrogatepass"), usedforsecurity=False).digest()[:16]
    )
    digest[6] = digest[6] & 0x0F | 0x50
    digest[8] = digest[8] & 0x3F | 0x80
    return digest.hex()


def from_container_id(id: str, pod_uid: str, name: str) -> str:
    """The first 32 digits of a hex ID; else the pod's UID and the container's name; else the ID. "" without an ID."""
    head = parse(id[:32])
    if head and "-" not in id[:32]:
        return head
    return id and (from_pod(pod_uid, name) or uuid5(NAMESPACE_OID, id))


def from_pod(pod_uid: str, name: str) -> str:
    """The same for every restart of the container `name` in this pod. "" where the UID is no UUID or the name is missing."""
    namespace = parse(pod_uid)
    return uuid5(namespace, name) if namespace and name else ""


def from_name(path: str) -> str:
    """The same for every pod of this name: what a StatefulSet makes again after a drain. "" where the name is not known."""
    return path and uuid5(NAMESPACE_OID, path)


def full_name(container: Container) -> str:
    """`namespace/pod/container`; "" where a part of it is not known."""
    parts = (container.pod_namespace, container.pod_name, container.name)
    return "/".join(parts) if all(parts) else ""


def pod_uid(container: Container) -> str:
    """The pod's UID where it is one, else ""."""
    return container.pod_uid if parse(container.pod_uid) else ""


def made(container: Container, source: str) -> str:
    """The machine-id that is made from `source`, one of MADE. "" where what it is made from is not known."""
    return MADE[source](container)


MADE: dict[str, Callable[[Container], str]] = {
    "container": lambda each: from_container_id(each.id, pod_uid(each), each.name),
    "pod": lambda each: from_pod(pod_uid(each), each.name),
    "name": lambda each: from_name(full_name(each)),
}
