"""Tables of measurements that stand in docs: `python -m tests.measure NAME` measures one anew and prints it as Markdown."""
