"""`make demo`: show the purpose of this project in a minute."""

import os
import sys

import boot
import offline
from screen import Broken, say, title


def main() -> None:
    if os.environ.get(boot.INSIDE) is None:
        title("oci-systemd: systemd as PID 1 in an ordinary container")
    try:
        (boot.demo if os.geteuid() == 0 else offline.demo)()
    except Broken as broken:
        say()
        sys.exit(str(broken))
    except KeyboardInterrupt:
        sys.exit(130)


main()
