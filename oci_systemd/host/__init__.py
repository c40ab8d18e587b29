"""The only access to files and to the machine: bundles, root file systems, cgroup facts, settings files and the log.

`posix` stands where `os` would: it is what `os` is made of, and costs a runtime call nothing to import.
"""
