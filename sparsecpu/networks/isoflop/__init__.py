"""Sparse-IFT; users import it as ``sparsecpu.isoflop``."""
