"""The lab: root file systems from Debian's archive, nodes in namespaces of their own, and containers in them."""
