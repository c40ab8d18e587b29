"""The machine's lab: its disks, the machine itself, and the configuration of its engines."""
