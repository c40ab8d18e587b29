# node.sh NODE LAB SOURCE CGROUP: become a node: NODE as root file system under a throw-away layer, cgroup v2 at /sys/fs/cgroup,
# LAB at /lab and SOURCE at /source, both read-only. Run by bash in mount and PID namespaces of its own: when whoever
# started it is gone, however that came, so are its processes, its mounts and the cgroup that its containers are in.
set -e
node=$1 lab=$2 source=$3 cgroup=$4
work=$lab/.node root=$lab/.node/root
read -r pid _ </proc/self/stat

mkdir -p "$work" # a place only: what is mounted there is this node's own
mount -t tmpfs -o mode=755 tmpfs "$work"
mkdir "$work/upper" "$work/work" "$root"
mount -t overlay -o "lowerdir=$node,upperdir=$work/upper,workdir=$work/work" overlay "$root"
mount -t proc proc "$root/proc"
mount -t sysfs sysfs "$root/sys"
# Bind the hierarchy that is there: a new cgroup2 mount from the initial cgroup namespace resets nsdelegate for the whole machine.
v2=/sys/fs/cgroup
[ -e $v2/cgroup.controllers ] || v2=/sys/fs/cgroup/unified
mount --bind $v2 "$root/sys/fs/cgroup"
mount --rbind /dev "$root/dev"
for each in run tmp; do mount -t tmpfs tmpfs "$root/$each"; done
mkdir -p "$root/run/lock" "$root/lab" "$root/source"
mount --bind -o ro "$lab" "$root/lab"
mount --bind -o ro "$source" "$root/source"

cd "$root"
mkdir -p .old
pivot_root . .old
umount -l /.old
trap '' PIPE
echo "$pid"
read -r _ || :
kill -KILL -1 2>/dev/null || :
for _ in {1..100}; do # a cgroup is busy until its last process is reaped
    find /sys/fs/cgroup/"$cgroup" -depth -type d -delete 2>/dev/null || :
    [ -e /sys/fs/cgroup/"$cgroup" ] || break
    sleep 0.05
done
