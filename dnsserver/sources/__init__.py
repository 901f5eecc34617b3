"""Where objects come from: the API server, or manifests. Both yield the events of `dnsserver.events`."""
