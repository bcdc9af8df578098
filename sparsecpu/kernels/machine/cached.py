"""Attributes that are computed at their first use, without a lock."""

from __future__ import annotations

import functools
from typing import Any, TypeVar

T_co = TypeVar("T_co", covariant=True)


class cached_property(functools.cached_property[T_co]):
    """Python's own, as it is from Python 3.12 on: without one lock for all objects of a class.

    A child that is forked while another thread computes such an attribute would wait for that lock
    for ever. Two threads may compute the same now; both have what the first one found.
    """

    def __get__(self, instance: Any, owner: Any = None) -> Any:
        if instance is None:
            return self
        return instance.__dict__.setdefault(self.attrname, self.func(instance))
