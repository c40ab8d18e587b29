#!/bin/sh
# build.sh BUILD: build the Debian package in the directory BUILD. REVISION= is the Debian revision of its version.
# The package does not depend on the node's Python version: it contains this source, and `compile` makes a version on the node.
set -eu
umask 022
build=$1
here=$(dirname "$0")
source=$here/../..
upstream=$(sed -n 's/^__version__ = "\(.*\)"/\1/p' "$source/oci_systemd/__init__.py")
version=$upstream-${REVISION:-1}
root=$(mktemp -d)
trap 'rm -rf "$root"' EXIT
: "${SOURCE_DATE_EPOCH:=$(git -C "$source" log -1 --format=%ct 2>/dev/null || stat -c %Y "$source/CHANGELOG.md")}"
export SOURCE_DATE_EPOCH
lib=$root/usr/lib/oci-systemd
share=$root/usr/share
doc=$share/doc/oci-systemd

# Paths of Debian's own files on every node, not of this machine.
${MAKE:-make} -C "$source" --no-print-directory -s install "DESTDIR=$root" PREFIX=/usr PYTHON=/usr/bin/python3 PY=/usr/bin/python3 \
    COMPILER=/usr/bin/python3 RUNTIME=/usr/bin/runc DEPENDENCIES=no PARTS=texts >/dev/null
rm -r "$lib"
mkdir -p "$lib/source/packaging" "$root/usr/bin"
cp -R "$source/oci_systemd" "$lib/source/"
cp -R "$source/packaging/install" "$source/packaging/launcher" "$lib/source/packaging/"
find "$lib" \( -name __pycache__ -o -name '.*_cache' \) -prune -exec rm -rf {} +
for each in oci-systemd oci-systemd-runtime; do ln -s "../lib/oci-systemd/current/bin/$each" "$root/usr/bin/$each"; done
install -m 755 "$here/compile" "$lib"
install -D -m 644 "$here/fallback/orjson.py" "$lib/fallback/orjson.py"
install -D -m 755 "$here/rtupdate" "$share/python3/runtime.d/oci-systemd.rtupdate"
PYTHONPATH=$lib/source:$lib/fallback /usr/bin/python3 -B "$source/packaging/man" "$share"
mv "$share/zsh/site-functions" "$share/zsh/vendor-completions"
find "$share/man" -type f -exec gzip -9n {} +
install -D -m 644 "$source/packaging/config.toml" "$root/etc/oci-systemd/config.toml"
install -D -m 644 "$source/packaging/logrotate" "$root/etc/logrotate.d/oci-systemd"
install -D -m 644 "$here/copyright" "$doc/copyright"
gzip -9n <"$source/CHANGELOG.md" >"$doc/changelog.gz"
maintainer=$(sed -n 's/^Maintainer: //p' "$here/control.in")
gzip -9n >"$doc/changelog.Debian.gz" <<END
oci-systemd ($version) unstable; urgency=medium

  * $upstream, as packaged by its source: see changelog.gz.

 -- $maintainer  $(date -u -R -d "@$SOURCE_DATE_EPOCH")
END

size=$(du -sk --apparent-size "$root" | cut -f1)
mkdir "$root/DEBIAN"
install -m 755 "$here/postinst" "$here/prerm" "$here/postrm" "$root/DEBIAN"
sed -e "s|@VERSION@|$version|" -e "s|@SIZE@|$size|" "$here/control.in" >"$root/DEBIAN/control"
(cd "$root" && find etc -type f | LC_ALL=C sort | sed 's|^|/|' >DEBIAN/conffiles)
(cd "$root" && find usr -type f -print0 | LC_ALL=C sort -z | xargs -0 md5sum >DEBIAN/md5sums)
find "$root" -exec touch -h -d "@$SOURCE_DATE_EPOCH" {} +
chmod 755 "$root"
mkdir -p "$build"
dpkg-deb --root-owner-group -Zxz --build "$root" "$build/oci-systemd_${version}_all.deb"
