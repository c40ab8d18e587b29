"""Every target that the documents name, each on a machine that has nothing yet: `python3 -m tests.pristine`, as root.

Invariant: the standard library only. It runs before anything is installed.
"""
