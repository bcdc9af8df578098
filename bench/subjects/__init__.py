"""One subject, one file: what ``sparsecpu bench NAME`` measures and prints."""
