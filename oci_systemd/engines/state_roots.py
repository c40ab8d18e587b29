"""Where runtimes keep their state for each engine, and by what a container's state tells its engine.

Law: tables, and pure functions over text; `host/containers` looks. Every row names who says so. In a pattern `*` stands for
one name that does not begin with a dot.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

# State roots: what a runtime is given as --root. Not here: a handler's own Root (OPTIONS finds it) or runtime_root.
ROOTS = (
    # containerd pkg/process/utils.go, RuncRoot: fixed, so also with k3s, rke2, k0s and microk8s, whose `state` lies elsewhere
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

# What the runc shim writes down of a handler's options, with `root` where the handler moves it (cmd/containerd-shim-runc-v2).
# The state root is `root`/NAMESPACE; NAMESPACE is the third name of the path, from its end.
OPTIONS = tuple(f"{each}/options.json" for each in BUNDLES_OF_SHIMS)

# By which file in a container's directory its runtime is known: runc libcontainer/state_linux.go, crun status.c.
KINDS = {"state.json": "runc", "status": "crun"}

# Where engines bring runtimes that are on nobody's PATH (k3s and rke2 unpack them, the snaps and upstream CRI-O ship them).
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

# A part of the bundle's path, which the engine chooses; the first that is there counts. rke2 uses k3s' directory.
BUNDLES = (
    ("/run/k3s/containerd/io.containerd.", "k3s"),
    ("/run/k0s/containerd/io.containerd.", "k0s"),
    ("/snap/microk8s/common/run/containerd/io.containerd.", "microk8s"),
    ("/io.containerd.runtime.v2.task/moby/", "docker"),  # moby's --containerd-namespace
    ("/io.containerd.runtime.v2.task/", "containerd"),
)
BARE = "none"  # no engine: somebody called the runtime

NERDCTL_NAME = "nerdctl/name"  # nerdctl pkg/labels, which it makes annotations of


def engine_of(annotations: Mapping[str, str], bundle: str) -> str:
    """The engine that made a container with these annotations and this bundle, BARE where nothing tells of one."""
    named = MANAGERS.get(annotations.get(MANAGER, ""))
    return named or next((engine for part, engine in BUNDLES if part in bundle), BARE)
