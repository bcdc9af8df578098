"""Sparse convolutions and passes over images, on a ring of rows."""
