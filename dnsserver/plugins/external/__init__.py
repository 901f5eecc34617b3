"""The parts of `k8s_external`: what its block says (`options`), and the names of one Service (`service`)."""
