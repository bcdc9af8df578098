"""What training leaves behind: whether its numbers are finite, and whether its loss went down."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

#: A loss so many times the one that it began with says that training went the wrong way.
_FAR = 2.0


def first_not_finite(network: Any) -> str:
    """Return what of a network, or of its optimizer's slots, is not finite; "" if all is."""
    for name, parameter in network.parameters().items():
        if not _is_finite(parameter.data):
            return name
        for slot, values in parameter.slots.items():
            if not _is_finite(values):
                return f"the {slot.replace('_', ' ')} of {name}"
    wrong = (name for name, values in network.buffers().items() if not _is_finite(values))
    return next(wrong, "")


def _is_finite(values: np.ndarray) -> bool:
    """Return True if all values are: found in one pass without memory, if their squares are too."""
    if values.dtype.kind != "f":
        return True
    with np.errstate(all="ignore"):
        return math.isfinite(np.vdot(values, values)) or bool(np.isfinite(values).all())


def far_above(last: float, first: float | None, of_zeros: float) -> str:
    """Return why a loss at the end of training is far too high, or "".

    It is where it is far above both the ``first`` one, if that is known, and the loss of a network
    whose outputs are all 0, which one that started well may be above.
    """
    begun = of_zeros if first is None else first
    if not last > _FAR * max(begun, of_zeros):
        return ""
    than = "that of outputs of 0" if first is None else "the one that it began with"
    return (
        f"training ended with a loss of {last:.4g}, far above {begun:.4g}, {than}; "
        "a smaller learning rate or a warm-up usually cures this, or scaling the data"
    )
