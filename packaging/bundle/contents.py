"""The contents of the tree: packages, licences, and a bill of materials (SPDX 2.3, spdx.github.io/spdx-spec/v2.3)."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
from datetime import UTC, datetime
from email import message_from_string
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    import tarfile
    from collections.abc import Iterable

    from debian import Base

# Packages that are only dependencies of others, and of which nothing is copied.
UNUSED = """debconf media-types netbase tzdata readline-common libreadline8t64 libncursesw6 libtinfo6 libdb5.3t64 libbz2-1.0
    liblzma5 libsqlite3-0 libuuid1 openssl-provider-legacy gcc-14-base""".split()  # fmt: skip


class Part(NamedTuple):
    """A package, or a distribution of PyPI, with files in the tree."""

    name: str
    version: str
    licence: str
    purl: str  # github.com/package-url


def packages(debs: Iterable[Path]) -> list[Part]:
    """Return the Debian packages in these archives, without the unused ones."""
    return [part for part in map(_package, debs) if part.name not in UNUSED]


def _package(deb: Path) -> Part:
    words = ["dpkg-deb", "-W", "--showformat=${Package} ${Version} ${Architecture}", str(deb)]
    name, version, arch = subprocess.run(words, check=True, capture_output=True, text=True).stdout.split()
    return Part(name, version, "NOASSERTION", f"pkg:deb/debian/{name}@{version}?arch={arch}")


def distributions(wheels: Path) -> list[Part]:
    """Return the distributions of PyPI that are unpacked there."""
    return [_distribution(file) for file in sorted(wheels.glob("*.dist-info/METADATA"))]


def _distribution(file: Path) -> Part:
    known = message_from_string(file.read_text())
    name, version = known["Name"], known["Version"]
    licence = known["License-Expression"] or "NOASSERTION"
    return Part(name, version, licence, f"pkg:pypi/{name.lower().replace('_', '-')}@{version}")


def describe(base: Base, wheels: Path, share: Path, name: str) -> None:
    """Write the licences and the bill of materials to `share`."""
    from_debian = packages(base.debs)
    parts = [*from_debian, *distributions(wheels)]
    for part in from_debian:
        source = base.root / "usr/share/doc" / part.name / "copyright"
        if source.exists():
            place = share / "doc" / part.name
            place.mkdir(parents=True)
            shutil.copyfile(source.resolve(), place / "copyright")
    (share / "sbom.spdx.json").write_text(json.dumps(_spdx(parts, name), indent=1) + "\n")


def _spdx(parts: list[Part], name: str) -> dict[str, object]:
    version = name.rpartition("-")[0]
    own = Part("oci-systemd", version, "Apache-2.0", f"pkg:pypi/oci-systemd@{version}")
    held = [_spdx_package(part) for part in parts]
    return {
        "spdxVersion": "SPDX-2.3",
        "dataLicense": "CC0-1.0",
        "SPDXID": "SPDXRef-DOCUMENT",
        "name": f"oci-systemd-{name}",
        "documentNamespace": f"https://spdx.org/spdxdocs/oci-systemd-{name}-{sha256(repr(parts).encode()).hexdigest()[:16]}",
        "creationInfo": {"created": _created(), "creators": ["Tool: oci-systemd packaging/bundle"]},
        "packages": [_spdx_package(own), *held],
        "relationships": [
            _relation("SPDXRef-DOCUMENT", "DESCRIBES", _reference(own)),
            *(_relation(_reference(own), "CONTAINS", _reference(part)) for part in parts),
        ],
    }


def _spdx_package(part: Part) -> dict[str, object]:
    return {
        "SPDXID": _reference(part),
        "name": part.name,
        "versionInfo": part.version,
        "downloadLocation": "NOASSERTION",
        "filesAnalyzed": False,
        "licenseConcluded": "NOASSERTION",
        "licenseDeclared": part.licence,
        "copyrightText": "NOASSERTION",
        "externalRefs": [
            {"referenceCategory": "PACKAGE-MANAGER", "referenceType": "purl", "referenceLocator": part.purl}
        ],
    }


def _reference(part: Part) -> str:
    return "SPDXRef-" + re.sub(r"[^A-Za-z0-9.-]", "-", part.name)


def _relation(of: str, kind: str, to: str) -> dict[str, str]:
    return {"spdxElementId": of, "relationshipType": kind, "relatedSpdxElement": to}


def _created() -> str:
    """Always the same for the same source (reproducible-builds.org, SOURCE_DATE_EPOCH)."""
    return datetime.fromtimestamp(epoch(), UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def epoch() -> int:
    return int(os.environ.get("SOURCE_DATE_EPOCH", "0"))


def plain(entry: tarfile.TarInfo) -> tarfile.TarInfo:
    """An archive's entry without what changes from one build to the next."""
    entry.uid = entry.gid = 0
    entry.uname = entry.gname = "root"
    entry.mtime = epoch()
    return entry
