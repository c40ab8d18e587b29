"""The NRI plugin: a resident program in place of a runtime handler, for containerd and CRI-O, with the same core.

Data flows one way: `serve` reads the socket, `frames` turns its bytes into messages, `plugin` answers each one, with `answers` for
the creation of a container; `convert` translates between messages and the core.
"""
