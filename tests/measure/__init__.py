"""The tables of docs/, measured: `python -m tests.measure NAME`, as root, prints one as Markdown."""
