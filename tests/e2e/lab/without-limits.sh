#!/bin/bash
# runc or crun, by its own name, for a machine whose cgroup v2 hierarchy has no controllers for limits (they sit on v1), and
# where root may not lower an OOM score: it drops what needs them from the bundle's config.json, then becomes the program of
# that name further on in PATH. What it was given stays beside the other, as config.json.given.
bundle='' previous=''
for word; do
    case $previous in --bundle | -b) bundle=$word ;; esac
    previous=$word
done
if [ "$bundle" ]; then
    cp -p "$bundle/config.json" "$bundle/config.json.given"
    jq -c 'del(.process.oomScoreAdj)
        | .linux.resources |= ((. // {}) | with_entries(select(.key == "devices" or .key == "unified")))
        | if .linux.resources.unified
          then .linux.resources.unified |= with_entries(select(.key | startswith("cgroup.")))
          else . end' "$bundle/config.json.given" >"$bundle/config.json"
fi
PATH=${PATH#*"${0%/*}:"}
exec "${0##*/}" "$@"
