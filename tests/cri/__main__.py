"""Boot systemd in one pod, say what became of it, and remove it.

    python3 -m tests.cri SOCKET [HANDLER] [--image NAME]

Needs the rights to open SOCKET.
"""

import argparse
import sys

import grpc

from tests.cri.client import Cri
from tests.cri.pod import IMAGE, Container, Pod


def main() -> None:
    """Boot systemd in one pod and say what became of it."""
    parser = argparse.ArgumentParser(description="Boot systemd in one pod over CRI.")
    parser.add_argument("socket")
    parser.add_argument("handler", nargs="?", default="")
    parser.add_argument("--image", default=IMAGE)
    options = parser.parse_args()
    cri = Cri(options.socket)
    pod = Pod("boot", handler=options.handler)
    pod_id = cri.run_pod(pod)
    try:
        container_id = cri.create(pod_id, pod, Container(image=options.image))
        cri.start(container_id)
        print("state", cri.wait_booted(container_id))
        print("machine-id", cri.execute(container_id, "cat", "/etc/machine-id").stdout.strip())
        print("stopped in", round(cri.stop(container_id, 10), 2))
    except grpc.RpcError as error:
        sys.exit(f"{error.code()}: {error.details()}")
    finally:
        cri.remove_pod(pod_id)


if __name__ == "__main__":
    main()
