"""Tables of measurements on real engines, for docs/: one module a table, with a `main` that prints it."""
