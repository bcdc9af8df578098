"""What stands beside the trainer: ranks that share a batch, and records of how patterns change."""
