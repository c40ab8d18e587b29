#!/bin/bash
# Run a command in a node: a directory that holds a root file system with container engines becomes the root of new mount,
# host name and PID namespaces, with cgroup v2 at /sys/fs/cgroup and a directory of yours at /lab.
#
#   node.sh NODE LAB COMMAND...
#
# Needs root. The engines' state (/run, /tmp, /var/tmp, /var/log, /var/lib/{containerd,containers,docker,kubelet}) is in
# memory, nothing is mounted outside, and when COMMAND ends whatever it started is killed.
set -e
if [ $# -lt 3 ]; then sed -n '2,5s/^# \{0,1\}//p' "$0" >&2; exit 2; fi
NODE=$(realpath "$1") LAB=$(realpath "$2")
export NODE LAB
shift 2
exec unshare --mount --uts --pid --fork --kill-child --propagation private bash -ec '
hostname node-1
mount --bind "$NODE" "$NODE"
mount -t proc proc "$NODE/proc"
mount -t sysfs sysfs "$NODE/sys"
# The hierarchy that is there is bound: a new cgroup2 mount made in the initial cgroup namespace would reset nsdelegate for
# the whole machine.
v2=/sys/fs/cgroup
[ -e $v2/cgroup.controllers ] || v2=/sys/fs/cgroup/unified
mount --bind $v2 "$NODE/sys/fs/cgroup"
for d in kernel/security fs/selinux; do
    if mountpoint -q "/sys/$d"; then mount --bind "/sys/$d" "$NODE/sys/$d"; fi
done
mount --rbind /dev "$NODE/dev"
for d in run tmp var/tmp var/log var/lib/containerd var/lib/containers var/lib/docker var/lib/kubelet; do
    mkdir -p "$NODE/$d"
    mount -t tmpfs tmpfs "$NODE/$d"
done
mkdir -p "$NODE/run/lock" "$NODE/lab"
mount --bind "$LAB" "$NODE/lab"
cd "$NODE"
mkdir -p .old
pivot_root . .old
umount -l /.old
unset NODE LAB
export HOME=/root PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin
# Not exec: this shell is PID 1 here and reaps.
"$@"
exit $?' node "$@"
