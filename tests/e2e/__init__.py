"""Real systemd under real runtimes: every test here boots, or creates, a container through an installed wrapper."""
