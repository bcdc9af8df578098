"""Vectors as wide as a tile, for Numba."""
