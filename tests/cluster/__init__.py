"""One set of scenarios for every kind of cluster: the fake API server, a real kube-apiserver, and kind."""
