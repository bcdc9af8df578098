"""Whether samples without a shape are images, as networks of images need them."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

import numpy as np

from sparsecpu.errors import DataError

#: Samples that are examined.
_EXAMINED = 100
#: How far a pixel between 0 and 1 may be from a multiple of 1/255, in units of that.
_NEAR = 1e-3


def check_images(
    network: str, shape: tuple[int, ...], name: str, x: Any, given: tuple[int, ...],
    columns: Any = None,
) -> None:  # fmt: skip
    """Refuse samples that are no images, for a network of images.

    Parameters
    ----------
    network : str
        What people call the network.
    shape : tuple of ints
        Shape of the samples that it takes.
    name : str
        What people call the data.
    x : array_like, sparse matrix or Samples
        The samples, flat.
    given : tuple of ints
        The shape that one of them has in the data.
    columns : Columns, optional
        The columns of the table that they come from.

    Raises
    ------
    DataError
        If the samples have no shape and do not look like pixels, or have another shape.
    """
    if len(shape) < 2:
        return
    if len(given) < 2:
        if not are_pixels(x, () if columns is None else columns.names):
            raise DataError(
                f"{network} is for images, and the {x.shape[1]} features of {name} are not pixels "
                "(whole numbers from 0 to 255, or those divided by 255); if they are, keep the "
                "samples as (samples, height, width) in an .npz file"
            )
    elif _whole(given) != _whole(shape):
        raise DataError(f"{name} has images of shape {given}; {network} is for {shape}")


def _whole(shape: tuple[int, ...]) -> tuple[int, ...]:
    """Return the shape of an image with its channels, of which there is one if none are named."""
    return (1, *shape) if len(shape) == 2 else tuple(shape)


def are_pixels(x: Any, names: Sequence[str] = ()) -> bool:
    """Return True if the first samples are whole numbers from 0 to 255, or those divided by 255.

    Numbers that are all 0 or 1 are not: categories look so. Nor are columns that have names of
    their own, such as ``age`` and ``income``.
    """
    if names and not are_numbered(names):
        return False
    if hasattr(x, "take_samples"):
        x = x.take_samples(np.arange(min(_EXAMINED, x.shape[0])))[0]
    x = x[:_EXAMINED]
    values = np.asarray(x.data if hasattr(x, "tocsr") else x)
    if values.size == 0 or values.min() < 0 or values.max() > 255:
        return False
    if values.max() > 1:
        return bool(np.all(values == np.rint(values)))
    steps = values * 255.0
    near = np.abs(steps - np.rint(steps)) < _NEAR
    return bool(np.all(near) and np.any((values > 0) & (values < 1)))


def are_numbered(names: Sequence[str]) -> bool:
    """Return True if names differ by numbers alone, such as ``pixel0``, ``1x28`` or ``7``."""
    forms = {re.sub(r"\d+", "0", str(name)) for name in names}
    return len(forms) == 1 and "0" in forms.pop()
