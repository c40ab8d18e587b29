"""Configuration files as texts that are changed in place: `text` what they have in common, then a file for each format.

Law: comments, order, indentation and spelling of what does not change are the user's. A change that the format's own parser
does not read back as it was meant is refused.
"""
