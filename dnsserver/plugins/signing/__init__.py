"""What plugin `tsig` is made of: `keyfile` (files with keys)."""
