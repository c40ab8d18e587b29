"""systemd as PID 1 in ordinary containers: one pure core (`core`), its host access (`host`), and thin ways in around them."""

__version__ = "0.1.0"
