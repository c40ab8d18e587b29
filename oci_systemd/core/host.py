"""Facts about the machine and the root file system, as values. `host/` collects them; tests write them."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

# Kinds of file: an ELF program, any other file with content, an empty file or one with the text "uninitialized" (machine-id(5)),
# and a file that does not exist.
ELF, CONTENT, BLANK, ABSENT = "elf", "content", "blank", "absent"


class Root:
    """The known part of a root file system.

    `links`: symbolic links on the way to the requested paths: cleaned path -> target as stored in the link.
    `files`: the kind of each requested file, by the place where its path leads: ELF, CONTENT, BLANK or ABSENT.
    `lost`: the limit on components of links if it was exceeded and nothing is known; else 0.
    """

    __slots__ = ("files", "links", "lost")

    def __init__(self, links: Mapping[str, str], files: Mapping[str, str], *, lost: int = 0) -> None:
        self.links = links
        self.files = files
        self.lost = lost


class Host:
    """The machine on which the container will run. `root` is None if the root file system is not visible.

    `occupied`: the requested cgroups that hold a process. `sources`: for each requested mount source, whether it is a cgroup file
    system.

    `selinux_init`: whether the SELinux policy has the type container_init_t (container-selinux does, Debian's policy does not).
    """

    __slots__ = ("apparmor", "cgroup_v2", "nsdelegate", "occupied", "root", "selinux_init", "sources")

    def __init__(
        self,
        *,
        cgroup_v2: bool = True,
        nsdelegate: bool = True,
        apparmor: bool = True,
        selinux_init: bool = True,
        root: Root | None = None,
        occupied: Collection[str] = (),
        sources: Mapping[str, bool] | None = None,
    ) -> None:
        self.cgroup_v2 = cgroup_v2
        self.nsdelegate = nsdelegate
        self.apparmor = apparmor
        self.selinux_init = selinux_init
        self.root = root
        self.occupied = occupied
        self.sources = sources or {}

    def seen(
        self, root: Root | None, occupied: Collection[str] = (), sources: Mapping[str, bool] | None = None
    ) -> Host:
        """Return this machine with the facts for one container."""
        return Host(
            cgroup_v2=self.cgroup_v2,
            nsdelegate=self.nsdelegate,
            apparmor=self.apparmor,
            selinux_init=self.selinux_init,
            root=root,
            occupied=occupied,
            sources=sources,
        )
