"""What stands in an engine's configuration so that it calls the wrapper: planned here, text in and text out.

`containerd`, `crio`, `docker` and `podman` say which Edits an engine needs, containerd by what `containerd_files` reads; `plan`
makes new texts of them and of the Record of what was written before; `texts` holds the formats. Nothing here opens a file:
`host/tree` reads and writes.
"""
