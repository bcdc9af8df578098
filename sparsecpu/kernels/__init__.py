"""Numba kernels: plain functions on plain arrays, one writer per output element."""
