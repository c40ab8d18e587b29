# node.sh NODE WORK CGROUP [FROM:TO:OPTIONS]…: become a node: NODE as root file system under a throw-away layer, its own cgroup v2
# subtree at /sys/fs/cgroup, and each FROM mounted at TO with OPTIONS, a tmpfs where FROM is empty. WORK is a directory to mount
# on, in the node's own namespace. When whoever started it is gone, however that came, so are its processes, its mounts and its
# cgroup. Run by bash; it prints the process ID of the node's first process.
set -e
[ "$1" != inside ] || { inside=$1; shift; } # started by the lines at the end
node=$1 work=$2 name=$3
v2=/sys/fs/cgroup
[ -e $v2/cgroup.controllers ] || v2=/sys/fs/cgroup/unified
cgroup=$v2/$name

# In namespaces of its own; the node's processes are in a leaf, since a cgroup that has some can pass on no controllers.
enter() {
    root=$work/root
    read -r pid _ </proc/self/stat

    mkdir -p "$work" # a place only: what is mounted there is this node's own
    mount -t tmpfs -o mode=755 tmpfs "$work"
    mkdir "$work/upper" "$work/work" "$root"
    mount -t overlay -o "lowerdir=$node,upperdir=$work/upper,workdir=$work/work" overlay "$root"
    mount -t proc proc "$root/proc"
    mount -t sysfs sysfs "$root/sys"
    # Bind the hierarchy that is there: a new cgroup2 mount from the initial cgroup namespace, and only from there, resets
    # nsdelegate for the whole machine. From this one a privileged container makes such a mount, too.
    mount --bind "$cgroup" "$root/sys/fs/cgroup"
    mount --rbind /dev "$root/dev"
    for each in :/run:mode=755 :/tmp:mode=1777 "${@:4}"; do
        IFS=: read -r from to options <<<"$each"
        mkdir -p "$root$to"
        if [ "$from" ]; then
            mount --bind -o "$options" "$from" "$root$to"
        else
            mount -t tmpfs -o "$options" tmpfs "$root$to"
        fi
    done
    mkdir -p "$root/run/lock"

    cd "$root"
    mkdir -p .old
    pivot_root . .old
    umount -l /.old
    rmdir /.old 2>/dev/null || : # a bare root has no such program
    trap '' PIPE
    echo "$pid"
    read -r _ || :
    kill -KILL -1 2>/dev/null || :
}

if [ "${inside-}" ]; then
    enter "$@"
    exit
fi
mkdir -p "$cgroup/node"
(
    # The cgroup that a process is in when it makes a namespace is the namespace's root.
    echo "$BASHPID" >"$cgroup/cgroup.procs" && exec unshare --cgroup sh -c 'echo $$ >"$0/node/cgroup.procs"; exec "$@"' "$cgroup" \
        unshare --mount --uts --pid --fork --kill-child --propagation private bash "$0" inside "$@"
) || :
for _ in {1..100}; do # a cgroup is busy until its last process is reaped
    find "$cgroup" -depth -type d -delete 2>/dev/null || :
    [ -e "$cgroup" ] || break
    sleep 0.05
done
