"""A whole node in a virtual machine: containerd, Docker and podman, as Debian ships them, call the installed wrapper."""
