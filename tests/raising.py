"""Raises exceptions in the processes that import it."""

from sparsecpu import errors


def made(name, arguments):
    """Raise an exception of ``sparsecpu.errors``, made where this runs."""
    raise getattr(errors, name)(*arguments)
