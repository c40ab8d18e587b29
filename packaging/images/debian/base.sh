#!/bin/sh
# base.sh NAME [MIRROR]: make the image NAME of Debian's packages alone, to build on where no registry can be reached.
# Needs mmdebstrap and buildah.
set -eu
name=$1
shift
root=$(mktemp)
trap 'rm -f "$root"' EXIT
mmdebstrap --quiet --variant=minbase --format=tar trixie "$root" "$@"
container=$(buildah from scratch)
buildah add --quiet "$container" "$root" / >/dev/null
buildah commit --quiet "$container" "$name" >/dev/null
buildah rm "$container" >/dev/null
