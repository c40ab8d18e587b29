#!/bin/sh
# build.sh IMAGE BUNDLE ARCH…: build the image for each ARCH from the tree in BUNDLE/ARCH, as one manifest, and write it to
# BUNDLE/../oci-systemd.oci.tar. Nothing in the image is run, so any machine can build for any architecture. BASE= sets the base.
set -eu
image=$1 bundle=$2
shift 2
here=$(dirname "$0")
out=$(dirname "$bundle")/oci-systemd.oci.tar
storage=$(mktemp -d)
# vfs works in every sandbox, and the image is small.
build() { buildah --root "$storage/root" --runroot "$storage/run" --storage-driver vfs "$@"; }
trap 'rm -rf "$storage"' EXIT

tree() { echo "$bundle/$1"/opt/oci-systemd/versions/*; }
version=$(basename "$(tree "$1")")
created=$(date -u -d "@${SOURCE_DATE_EPOCH:-0}" +%Y-%m-%dT%H:%M:%SZ)
revision=$(git -C "$here" rev-parse HEAD 2>/dev/null || echo unknown)
build manifest create "$image" >/dev/null
for arch; do
    build build --quiet --isolation chroot --arch "$arch" --timestamp "${SOURCE_DATE_EPOCH:-0}" --manifest "$image" \
        ${BASE:+--build-arg "BASE=$BASE"} --build-arg "VERSION=${version%-*}" --build-arg "REVISION=$revision" \
        --build-arg "CREATED=$created" --file "$here/Containerfile" "$bundle/$arch" >/dev/null
done
rm -f "$out"
build manifest push --quiet --all --format oci "$image" "oci-archive:$out:$image" >/dev/null
echo "$out ($(du -m "$out" | cut -f1) MB for $*)"
