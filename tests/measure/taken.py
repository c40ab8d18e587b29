"""Print what one container takes of a node's limits, as JSON: `python3 taken.py PID`, on the node, with its first process.

Law: its processes are those of its PID namespace, its shim is the parent of the first. It needs nothing but Python.
"""

import json
import re
import sys
from collections import Counter
from pathlib import Path
from typing import Any

PROC = Path("/proc")
INSTANCE = "anon_inode:inotify"


def taken(processes: list[Path]) -> dict[str, Any]:
    """What processes take: by user where the limit is a user's."""
    instances: Counter[str] = Counter()
    watches: Counter[str] = Counter()
    tasks = files = 0
    for process in processes:
        user = re.findall(r"(?m)^Uid:\t\d+\t(\d+)", (process / "status").read_text())[0]
        tasks += len([*(process / "task").iterdir()])
        for each in (process / "fd").iterdir():
            files += 1
            if str(each.readlink()) == INSTANCE:
                instances[user] += 1
                watches[user] += (process / "fdinfo" / each.name).read_text().count("inotify wd:")
    return {"instances": instances, "watches": watches, "tasks": tasks, "files": files}


def inside(first: Path) -> list[Path]:
    own = (first / "ns/pid").readlink()
    return [each for each in PROC.glob("[0-9]*") if (each / "exe").exists() and (each / "ns/pid").readlink() == own]


def shim(first: Path) -> Path:
    return PROC / str(re.findall(r"(?m)^PPid:\t(\d+)", (first / "status").read_text())[0])


def keys() -> dict[str, int]:
    """The keys that count for each user's quota (keyrings(7), /proc/key-users)."""
    lines = (PROC / "key-users").read_text().splitlines()
    return {line.split(":")[0].strip(): int(line.split()[3].split("/")[0]) for line in lines}


if __name__ == "__main__":
    found: dict[str, Any] = {"keys": keys()}
    if len(sys.argv) > 1:
        first = PROC / sys.argv[1]
        found |= {"own": taken(inside(first)), "shim": taken([shim(first)])}
    print(json.dumps(found))
