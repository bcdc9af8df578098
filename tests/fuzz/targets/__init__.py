"""One reader, one file."""
