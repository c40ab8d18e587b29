"""systemd as PID 1 in ordinary containers: a pure core (`core`), its access to the host (`host`), and thin entry points."""

__version__ = "0.1.0"
