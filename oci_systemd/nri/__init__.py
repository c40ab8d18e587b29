"""The NRI plugin: one resident program in place of a runtime handler, for containerd and CRI-O, with the very same core.

Data flows one way: `serve` reads the socket, `frames` makes messages of its bytes, `plugin` answers each one, by `answers` where it
is a container's creation; `convert` is what lies between a message and the core.
"""
