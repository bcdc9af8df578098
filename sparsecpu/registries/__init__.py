"""Things by the names that users give, and the defaults of the three front doors."""

from sparsecpu.registries.options import read_options
from sparsecpu.registries.registry import Registry

__all__ = ["Registry", "read_options"]
