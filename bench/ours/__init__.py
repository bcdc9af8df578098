"""Our side of each comparison: the same work, by this engine."""
