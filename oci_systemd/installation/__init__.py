"""An installation on a node: what is written, restarted, verified, rolled back and remembered, and what the engines say of it.

`transaction` carries a plan out, `setup` makes plans of what a user wants, `effective` asks an engine what it makes of its files,
`cri` and `docker_api` ask one that runs, `installed` finds our programs, `facts` looks at a node and `checks` judges it.

Invariant: no click, no exit code, nothing printed: sentences go to a Reporter.
"""
