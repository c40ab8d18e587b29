"""Configuration files as texts that are changed in place: `text` has the common part, then there is a file for each format.

Law: comments, order, indentation and spelling of unchanged parts stay. Each change is read back with the format's own parser, and
refused if the result differs.
"""
