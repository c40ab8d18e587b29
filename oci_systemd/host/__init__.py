"""The only access to files and to the machine: bundles, root file systems, cgroup facts, settings files and the log.

It uses `posix` in place of `os`: the same functions, without the cost of an import on each runtime call.
"""
