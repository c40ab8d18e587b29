"""What a call of the wrapper costs, as whole processes, each beside its floor in the same run: `python -m tests.bench`.

Nothing here is a test: a time depends on the machine, a ratio of two times taken in turn much less.
"""
