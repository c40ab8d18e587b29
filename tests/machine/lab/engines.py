"""The configuration of the machine's engines: plain runtimes by hand, the wrappers by `oci-systemd install`."""

import json

from tests.machine.lab.machine import Machine

RUNTIMES = {"runc": "/usr/sbin/runc", "crun": "/usr/bin/crun"}
# The name that every engine knows the wrapper by, in front of each runtime.
WRAPPERS = {"runc": "systemd", "crun": "systemd-crun"}
ENGINES = ("containerd", "docker", "podman")
USER = "lab"
LAUNCHER = "/usr/bin/oci-systemd-runtime"
HOOKS = "/usr/share/oci-systemd/hooks.d"

# What a node's owner has there: the systemd driver, crun as another handler, and NRI.
CONTAINERD = """version = 2
[plugins."io.containerd.grpc.v1.cri"]
  sandbox_image = "docker.io/local/pause:1"
  [plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc]
    runtime_type = "io.containerd.runc.v2"
    [plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc.options]
      SystemdCgroup = true
  [plugins."io.containerd.grpc.v1.cri".containerd.runtimes.crun]
    runtime_type = "io.containerd.runc.v2"
    [plugins."io.containerd.grpc.v1.cri".containerd.runtimes.crun.options]
      BinaryName = "/usr/bin/crun"
      SystemdCgroup = true
[plugins."io.containerd.nri.v1.nri"]
  disable = false
"""
DOCKER = {"runtimes": {"crun": {"path": "/usr/bin/crun"}}}


def wrapper(runtime: str, engine: str = "podman") -> str:
    """The program that ENGINE calls where RUNTIME is behind the wrapper."""
    return LAUNCHER if runtime == "runc" else f"{LAUNCHER}.{engine}.{WRAPPERS[runtime]}"


def handlers() -> dict[str, str]:
    """The program behind each handler of containerd's."""
    return RUNTIMES | {name: wrapper(runtime, "containerd") for runtime, name in WRAPPERS.items()}


def set_up(machine: Machine) -> None:
    """Install the wrapper, put the stores in place, configure and start the engines."""
    machine.install(RUNTIMES["runc"])
    mount_stores(machine)
    configure(machine)
    make_user(machine)
    machine.run("systemctl", "start", "multi-user.target")


def mount_stores(machine: Machine) -> None:
    """What the disk of the stores has where, there it is mounted."""
    machine.script("""
        mount --mkdir /dev/vdb /stores
        for place in /var/lib/docker /var/lib/containerd /var/lib/containers /home/lab; do
            mount --mkdir --bind "/stores$place" "$place"
        done
    """)


def configure(machine: Machine) -> None:
    machine.write("/etc/containerd/config.toml", CONTAINERD)
    machine.write("/etc/docker/daemon.json", json.dumps(DOCKER))
    for engine in ENGINES:
        for runtime in WRAPPERS:
            install(machine, engine, runtime)


def install(machine: Machine, engine: str, runtime: str, *options: str) -> str:
    """Have ENGINE call the wrapper in front of RUNTIME. Return the output."""
    words = ("oci-systemd", "install", engine, "--handler", WRAPPERS[runtime], "--runtime", runtime, *options)
    return machine.output(*words)


def make_default(machine: Machine, runtime: str) -> None:
    """The wrapper before RUNTIME becomes Docker's default."""
    install(machine, "docker", runtime, "--default", "--restart=auto")


def make_no_default(machine: Machine, runtime: str) -> None:
    """Docker has its own default runtime again. A reload does not forget one, so that it is named."""
    install(machine, "docker", runtime)
    machine.write("/etc/docker/daemon.json", json.dumps(json.loads(read_daemon(machine)) | {"default-runtime": "runc"}))
    machine.run("systemctl", "reload", "docker")


def read_daemon(machine: Machine) -> str:
    return machine.output("cat", "/etc/docker/daemon.json")


def make_user(machine: Machine) -> None:
    """Somebody with a login, subordinate IDs and services that outlive the login."""
    machine.script(f"""
        useradd --no-create-home --shell /bin/sh {USER}
        cp -r /root/.ssh /home/{USER}/ && chown -R {USER}: /home/{USER}/.ssh
        loginctl enable-linger {USER}
    """)
