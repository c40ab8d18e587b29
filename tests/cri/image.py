"""Write an OCI image archive from layers, for `ctr images import`, `podman load` and `docker load`.

    python3 -m tests.cri.image ROOT OUT.tar NAME 'CONFIG'

ROOT is the root file system, the image's only layer, NAME the image's name with its tag, CONFIG the image's config object
as JSON, such as {"Entrypoint": ["/sbin/init"], "Volumes": {"/run": {}}}. Run it as root, so that owners can be read.
"""

import hashlib
import io
import json
import subprocess
import sys
import tarfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

MEDIA_TYPE = "application/vnd.oci.image."


def digest(data: bytes) -> str:
    """The digest of a blob, as OCI writes it."""
    return "sha256:" + hashlib.sha256(data).hexdigest()


def as_json(value: Any) -> bytes:
    """A value as the bytes of a JSON blob."""
    return json.dumps(value).encode()


def descriptor(kind: str, data: bytes, **more: Any) -> dict[str, Any]:
    """What refers to a blob."""
    return {"mediaType": MEDIA_TYPE + kind, "digest": digest(data), "size": len(data), **more}


def pack(root: Path) -> bytes:
    """A directory as a layer."""
    command = ["tar", "-C", str(root), "--numeric-owner", "--one-file-system", "-c", "."]
    return subprocess.run(command, check=True, stdout=subprocess.PIPE).stdout


def files(content: Mapping[str, bytes], links: Mapping[str, str]) -> bytes:
    """Programs and symbolic links as a layer, by their paths."""
    with tarfile.open(fileobj=(layer := io.BytesIO()), mode="w") as archive:
        for path, data in content.items():
            _add(archive, path, data)
        for path, target in links.items():
            link = tarfile.TarInfo(path)
            link.type, link.linkname = tarfile.SYMTYPE, target
            archive.addfile(link)
    return layer.getvalue()


def write_image(layers: Sequence[bytes], out: Path, name: str, config: dict[str, Any]) -> None:
    """Write the archive `out`: the image `name` of these layers."""
    platform = {"architecture": "amd64", "os": "linux"}
    contents = {"type": "layers", "diff_ids": [digest(layer) for layer in layers]}
    image = as_json({**platform, "config": config, "rootfs": contents})
    manifest = as_json(
        {
            "schemaVersion": 2,
            "mediaType": MEDIA_TYPE + "manifest.v1+json",
            "config": descriptor("config.v1+json", image),
            "layers": [descriptor("layer.v1.tar", layer) for layer in layers],
        }
    )
    names = {"io.containerd.image.name": name, "org.opencontainers.image.ref.name": name}
    entry = descriptor("manifest.v1+json", manifest, platform=platform, annotations=names)
    with tarfile.open(out, "w") as archive:
        _add(archive, "oci-layout", b'{"imageLayoutVersion":"1.0.0"}')
        for blob in (*layers, image, manifest):
            _add(archive, f"blobs/sha256/{digest(blob)[7:]}", blob)
        _add(archive, "index.json", as_json({"schemaVersion": 2, "manifests": [entry]}))


def _add(archive: tarfile.TarFile, path: str, data: bytes) -> None:
    info = tarfile.TarInfo(path)
    info.size, info.mode = len(data), 0o755
    archive.addfile(info, io.BytesIO(data))


def main() -> None:
    """Write the image that the command line describes."""
    if len(sys.argv) != 5:
        sys.exit(__doc__)
    root, out, name, config = sys.argv[1:]
    write_image([pack(Path(root))], Path(out), name, json.loads(config))


if __name__ == "__main__":
    main()
