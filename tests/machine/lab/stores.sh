# stores.sh ARCHIVES NAME...: have the engines load ARCHIVES/NAME.tar into /stores. containerd gets all, the others what they run.
archives=$1
shift
some=(debian-13 busybox)

useradd --no-create-home lab
mkdir /stores
mount -t tmpfs -o mode=755 tmpfs /stores
for place in /var/lib/docker /var/lib/containerd /var/lib/containers /home/lab; do
    mkdir -p "$place" "/stores$place"
    mount --bind "/stores$place" "$place"
done

until_it_answers() { for _ in {1..300}; do "$@" >/dev/null 2>&1 && return; sleep 0.1; done; }
stop() { kill "$1" && wait "$1" || :; }
load() { for name in "${@:2}"; do $1 "$archives/$name.tar"; done; }

containerd >/tmp/containerd.log 2>&1 & containerd=$!
until_it_answers ctr version
load 'ctr --namespace k8s.io images import --local --snapshotter overlayfs' "$@"
dockerd --bridge=none --iptables=false --ip6tables=false --containerd=/run/containerd/containerd.sock >/tmp/dockerd.log 2>&1 & dockerd=$!
until_it_answers docker version
load 'docker load --quiet --input' "${some[@]}"
stop $dockerd
stop $containerd

load 'podman load --quiet --input' "${some[@]}"
install -d -o lab -g lab /home/lab /run/user/1000
for name in "${some[@]}"; do
    runuser -u lab -- env HOME=/home/lab XDG_RUNTIME_DIR=/run/user/1000 \
        podman --cgroup-manager=cgroupfs load --quiet --input "$archives/$name.tar"
done
