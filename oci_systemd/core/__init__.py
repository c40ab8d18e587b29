"""The pure core: a container's description, settings and host facts in, an Adjustment out.

Law: nothing here opens, logs or imports anything beyond the interpreter.
"""
