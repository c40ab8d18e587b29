"""What the core is told of the machine and of the root file system, as values. `host/` finds them out, tests write them down."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

# What a file is, as far as the rules care: an ELF program, any other file with content, an empty file or one that says
# "uninitialized" (machine-id(5)), or not there.
ELF, CONTENT, BLANK, ABSENT = "elf", "content", "blank", "absent"


class Root:
    """A root file system, as far as it was asked about.

    `links`: the symbolic links met on the way to every path asked for, cleaned path -> target as it stands in the link.
    `files`: what stands at the end of each path asked for, by the place it leads to: ELF, CONTENT, BLANK or ABSENT.
    `lost`: how many parts of links there may be, where there are more and nothing is known; else 0.
    """

    __slots__ = ("files", "links", "lost")

    def __init__(self, links: Mapping[str, str], files: Mapping[str, str], *, lost: int = 0) -> None:
        self.links = links
        self.files = files
        self.lost = lost


class Host:
    """The machine that the container will run on. `root` is None where its root file system cannot be seen.

    `occupied`: those of the cgroups that were asked for that hold a process. `sources`: of each mount's source that was asked for,
    whether it is a cgroup file system.

    `selinux_init`: whether its SELinux policy has the type container_init_t (container-selinux has, Debian's own has not).
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
        """This machine with what was asked of it for one container."""
        return Host(
            cgroup_v2=self.cgroup_v2,
            nsdelegate=self.nsdelegate,
            apparmor=self.apparmor,
            selinux_init=self.selinux_init,
            root=root,
            occupied=occupied,
            sources=sources,
        )
