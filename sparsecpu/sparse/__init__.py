"""Where the weights are: patterns, the values on them, and how both begin."""
