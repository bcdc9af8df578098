"""Numba kernels: plain functions on plain arrays, one writer per output element."""

from sparsecpu.kernels.machine.settings import check_environment

check_environment()  # before a kernel's file loads Numba, which fails over many lines
