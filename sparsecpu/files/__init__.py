"""Files that are kept: models, checkpoints, and those of other frameworks."""
