"""Taps in rows of a multiple of four, for sums over pixels."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np


class PaddedTaps(NamedTuple):
    """Taps whose rows are filled up to a multiple of four.

    dW is summed for 16, 8 or 4 taps at once; a tap that only fills up is computed and left. Beside
    the ``codes``, ``starts`` and ``ends`` of ``Taps``, ``places`` (nnz,) says where each nonzero of
    the pattern is among the codes, ``order`` (codes,) which nonzero a code belongs to, any for
    ``fillers``, the places of those that only fill up.
    """

    codes: np.ndarray
    starts: np.ndarray
    ends: np.ndarray
    places: np.ndarray
    order: np.ndarray
    fillers: np.ndarray

    @classmethod
    def of(
        cls, codes: np.ndarray, order: np.ndarray | None, starts: np.ndarray, ends: np.ndarray
    ) -> PaddedTaps:
        """Fill up the rows of ``Taps``."""
        counts = (ends - starts).ravel()
        room = -(-counts // 4) * 4
        new_ends = np.cumsum(room)
        new_starts = new_ends - room
        moved = np.repeat(new_starts - starts.ravel(), counts)
        at = np.arange(len(codes), dtype=np.int64) + moved
        size = int(new_ends[-1]) if len(new_ends) else 0
        padded, owners, fills = np.zeros(size, np.int32), np.zeros(size, np.int32), np.ones(size)
        padded[at], fills[at] = codes, 0
        places = at.astype(np.int32)
        if order is not None:
            places[order] = at
        owners[places] = np.arange(len(codes), dtype=np.int32)
        shape = starts.shape
        arrays = (padded, new_starts.reshape(shape), new_ends.reshape(shape), places, owners)
        for array in arrays:
            array.setflags(write=False)
        return cls(*arrays, np.flatnonzero(fills))
