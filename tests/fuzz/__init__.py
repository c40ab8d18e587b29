"""Coverage-guided fuzzing with atheris: `python -m tests.fuzz.NAME --seconds 300`. Each fuzzer opens with its invariant."""
