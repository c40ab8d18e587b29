"""Where runtimes keep their state for each engine, and how a container's state identifies its engine.

Law: only tables, and pure functions on text; `host/containers` reads the directories. Every row has its source. In a pattern `*`
matches one name that does not start with a dot.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

# State roots: values of the runtime's --root. Not listed: a handler's own Root (found through OPTIONS) or runtime_root.
ROOTS = (
    # containerd pkg/process/utils.go, RuncRoot: fixed, also in k3s, rke2, k0s and microk8s, whose `state` is elsewhere
    # (containerd#5096). The last name is containerd's namespace.
    "/run/containerd/runc/*",
    "/run/host-containerd/runc/*",  # Bottlerocket's host containers (bottlerocket#1359)
    "/run/docker/runtime-*/*",  # moby daemon/runtime_unix.go: EXEC-ROOT/runtime-NAME; Docker 26 has all of them in runtime-runc
    "/run/snap.docker/runtime-*/*",  # the snap's --exec-root
    "/run/runc",  # runc's own: bare, podman, and CRI-O (config.DefaultRuntimeRoot, or runtime_root as it is packaged)
    "/run/crun",  # crun's own (status.c, get_run_directory): the same
    "/run/user/*/docker/runtime-*/*",  # dockerd-rootless.sh: --exec-root=$XDG_RUNTIME_DIR/docker
    "/run/user/*/containerd/runc/*",  # containerd-rootless.sh binds $XDG_RUNTIME_DIR/containerd to /run/containerd
    "/run/user/*/runc",
    "/run/user/*/crun",
    "/tmp/podman-run-*/runc",  # podman without a session of logind (pkg/util, GetRootlessRuntimeDir)
    "/tmp/podman-run-*/crun",
)

# Where containerd's shims have their bundles, for each `state` that an engine gives a containerd: NAMESPACE, then ID.
BUNDLES_OF_SHIMS = tuple(
    f"{state}/io.containerd.runtime.v2.task/*/*"
    for state in (
        "/run/containerd",
        "/run/k3s/containerd",
        "/run/k0s/containerd",
        "/var/snap/microk8s/common/run/containerd",
        "/run/docker/containerd/daemon",
        "/run/snap.docker/containerd/daemon",
    )
)

# The runc shim stores a handler's options here, with `root` if the handler sets it (cmd/containerd-shim-runc-v2).
# The state root is `root`/NAMESPACE; NAMESPACE is the third name of the path, from its end.
OPTIONS = tuple(f"{each}/options.json" for each in BUNDLES_OF_SHIMS)

# A file in a container's directory identifies its runtime: runc libcontainer/state_linux.go, crun status.c.
KINDS = {"state.json": "runc", "status": "crun"}

# Directories of engines' own runtimes outside PATH (k3s and rke2 unpack them; the snaps and upstream CRI-O ship them).
RUNTIME_FOLDERS = (
    "/usr/local/sbin",
    "/usr/local/bin",
    "/usr/sbin",
    "/usr/bin",
    "/usr/libexec/crio",
    "/var/lib/rancher/k3s/data/current/bin",
    "/var/lib/rancher/rke2/bin",
    "/var/lib/k0s/bin",
    "/snap/microk8s/current/bin",
    "/snap/docker/current/bin",
)

MANAGER = "io.container.manager"
MANAGERS = {"cri-o": "crio", "libpod": "podman"}  # CRI-O server/container_create.go, podman pkg/annotations

# A part of the bundle's path, which the engine chooses; the first match counts. rke2 uses the directory of k3s.
BUNDLES = (
    ("/run/k3s/containerd/io.containerd.", "k3s"),
    ("/run/k0s/containerd/io.containerd.", "k0s"),
    ("/snap/microk8s/common/run/containerd/io.containerd.", "microk8s"),
    ("/io.containerd.runtime.v2.task/moby/", "docker"),  # moby's --containerd-namespace
    ("/io.containerd.runtime.v2.task/", "containerd"),
)
BARE = "none"  # no engine: the runtime was called by hand

NERDCTL_NAME = "nerdctl/name"  # nerdctl pkg/labels, which it makes annotations of


def engine_of(annotations: Mapping[str, str], bundle: str) -> str:
    """Return the engine of a container with these annotations and this bundle, BARE if there is no sign of one."""
    named = MANAGERS.get(annotations.get(MANAGER, ""))
    return named or next((engine for part, engine in BUNDLES if part in bundle), BARE)
