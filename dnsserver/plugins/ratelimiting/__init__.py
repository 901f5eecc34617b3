"""What plugin `ratelimit` is made of: `account` (what counts as the same response), `prefixes`, `buckets`, `options`,
`report` and `counts`."""
