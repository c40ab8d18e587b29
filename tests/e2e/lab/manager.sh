# manager.sh LOG: the node's service manager, as far as a restart of containerd by the system bus needs one. It runs in the node and
# does there what busctl asks for, from wherever that is called.
log=$1
mkdir -p /run/systemd/system
mkfifo /run/systemd/asked /run/systemd/answered
cat >/usr/local/bin/busctl <<'EOF'
#!/bin/sh
case $* in
    *ActiveState) echo 's "active"' ;;
    *SubState) echo 's "running"' ;;
    *ExecMainStartTimestampMonotonic) echo "t $(cat /var/log/containerd.log.pid)" ;;
    *RestartUnit\ ss\ containerd.service\ replace) echo "$*" >/run/systemd/asked; read -r status </run/systemd/answered; exit "$status" ;;
    *) exit 1 ;;
esac
EOF
chmod 755 /usr/local/bin/busctl
while read -r asked </run/systemd/asked; do
    echo "$asked" >>/run/systemd/done
    pid=$(cat "$log.pid")
    kill "$pid"
    while kill -0 "$pid" 2>/dev/null; do sleep 0.05; done
    (containerd </dev/null >>"$log" 2>&1 & echo $! >"$log.pid") # a child of nobody here, who would have to wait for it
    until ctr version >/dev/null 2>&1; do sleep 0.1; done
    echo 0 >/run/systemd/answered
done
