"""Pages about runs and comparisons: one HTML file each, which needs nothing else."""
