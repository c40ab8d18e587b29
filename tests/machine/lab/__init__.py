"""The machine's lab: its disks, the machine itself, and what its engines are told."""
