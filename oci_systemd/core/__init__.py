"""The pure core: it takes a container, settings and host facts, and returns an Adjustment.

Law: nothing here opens, logs or imports anything beyond the interpreter.
"""
