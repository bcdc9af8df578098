"""Exchange with other frameworks; users import it as ``sparsecpu.interop``."""
