"""A CoreDNS-compatible authoritative DNS server for Kubernetes clusters that run virtual machines with KubeVirt."""

__version__ = "0.1.0"
