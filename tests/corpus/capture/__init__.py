"""What took the corpus from real engines."""
