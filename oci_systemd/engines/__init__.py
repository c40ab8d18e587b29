"""Plan the changes to an engine's configuration that make it call the wrapper: text in, text out.

`containerd` (with `containerd_files`), `crio`, `docker` and `podman` list the Edits for an engine; `plan` makes new texts from them
and from the Record of earlier changes; `texts` has the formats. Nothing here opens a file: `host/tree` reads and writes.
"""
