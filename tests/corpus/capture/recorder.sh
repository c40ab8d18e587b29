#!/bin/bash
# A runtime for an engine to call: it keeps each container's config.json as the engine wrote it, then runs the real runtime
# with a harmless one.
#
# How to use: record.py installs it in a directory of its own, under the name that the engine expects (runc, crun), beside a
# symbolic link `real` to the real runtime and a directory `dump`, where the copies appear as ID.json.
#
# Only the record matters, so the real runtime gets no limits, no cgroup mount and no command but `true` (pause containers
# excepted): that runs on any kernel, without systemd, and a privileged container does nothing to the machine.
here=$(dirname "$0")
bundle= verb= previous= words=()
for word in "$@"; do
    case $previous in --bundle | -b) bundle=$word ;; esac
    case $word in create | run) verb=$word ;; esac
    [ "$word" = --systemd-cgroup ] || words+=("$word")
    previous=$word
done
if [ -n "$verb" ] && [ -n "$bundle" ]; then
    cp "$bundle/config.json" "$here/dump/$previous.json"
    changed=$(jq -c --arg id "$previous" '.linux.cgroupsPath = "/corpus/" + $id
        | del(.process.oomScoreAdj)
        | .linux.resources |= ((. // {}) | with_entries(select(.key == "devices")))
        | .mounts |= map(select(.destination != "/sys/fs/cgroup"))
        | if .process.args[0] == "/pause" then . else .process.args = ["/bin/true"] end' "$bundle/config.json")
    printf '%s' "$changed" >"$bundle/config.json"
fi
exec "$here/real" "${words[@]}"
