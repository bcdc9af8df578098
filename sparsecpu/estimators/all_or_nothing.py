"""A fit that fails leaves no part of itself behind."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any

#: What a fit keeps for itself.
_OWN = ("_label_encoder", "_multilabel", "_one_output", "_seed", "_progress", "_parts",
        "_known", "_target_name")  # fmt: skip


def forget_fit(estimator: Any) -> None:
    """Take away all that was learnt from data: an estimator without it counts as not fitted."""
    for name in list(vars(estimator)):
        learnt = name.endswith("_") and not name.startswith("_")
        if learnt or name in _OWN:
            delattr(estimator, name)


@contextlib.contextmanager
def all_or_nothing(estimator: Any, fresh: bool) -> Iterator[None]:
    """Begin a ``fresh`` fit without what was learnt before, and leave nothing of it if it fails.

    Nobody should predict with the network of one data set and the classes of another. A fit that
    goes on takes the whole of what was learnt before with it: what refuses its arguments leaves it.
    """
    if not fresh:
        yield
        return
    forget_fit(estimator)
    with nothing_if_it_fails(estimator):
        yield


@contextlib.contextmanager
def nothing_if_it_fails(estimator: Any) -> Iterator[None]:
    """Take away what was learnt if the ``with`` block raises anything."""
    try:
        yield
    except BaseException:
        forget_fit(estimator)
        raise
