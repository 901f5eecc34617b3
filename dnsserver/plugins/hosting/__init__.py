"""What the `hosts` plugin consists of: `table` (the lines of a hosts file, parsed)."""
