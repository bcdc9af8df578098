"""Pictures of patterns and runs."""
