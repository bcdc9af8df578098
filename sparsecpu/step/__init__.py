"""What one training step consumes."""
