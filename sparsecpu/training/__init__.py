"""What stands around training: ranks that share it, and records of how patterns change."""
