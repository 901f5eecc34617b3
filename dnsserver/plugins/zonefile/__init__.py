"""What the `file` plugin consists of: `reading` (disk), `content` (records to a zone), `lookup` (answers)."""
