"""Installation on a node: write files, restart engines, verify, roll back, and keep a record.

`setup` turns a user's request into a plan, `transaction` carries it out, `effective` asks an engine's program which configuration
is in effect, `cri` and `docker_api` ask a running engine, `installed` finds our programs, `facts` reads a node and `checks` judges
it.

Invariant: no click, no exit codes, no output: sentences go to a Reporter.
"""
