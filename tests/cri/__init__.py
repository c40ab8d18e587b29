"""The kubelet's side of CRI, for what captures the corpus and for the end-to-end tests. Needs grpcio and protobuf."""
