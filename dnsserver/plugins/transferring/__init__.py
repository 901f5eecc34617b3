"""What `transfer` is made of: what a transfer holds, differences between versions, and telling secondaries."""
