"""Sequences of tokens as samples: token numbers, or arrays of features, of unequal lengths too."""

from __future__ import annotations

from typing import Any

import numpy as np

from sparsecpu.errors import DataError, ParameterError
from sparsecpu.step.ranges import refuse_beyond
from sparsecpu.step.samples import Samples


class SequenceSamples:
    """Samples that are sequences; a batch is copied out of the array when a step wants it.

    Parameters
    ----------
    x : array_like, shape (samples, length) or (samples, length, features)
        Numbers of tokens, which may end with -1 where a sequence is shorter; or the features of
        each token.
    lengths : array_like of int, shape (samples,), optional
        Tokens of each sequence that count; by default all, or those before the first -1.

    Raises
    ------
    ParameterError
        If an array has another shape, holds no numbers, or a length is out of range.
    """

    def __init__(self, x: Any, lengths: Any = None) -> None:
        array = np.asarray(x)
        if array.ndim not in (2, 3) or array.dtype.kind not in ("iu" if array.ndim == 2 else "iuf"):
            words = f"{array.dtype} of shape {array.shape}"
            expected = "token numbers (samples, length), or numbers (samples, length, features)"
            raise ParameterError("x", words, expected)
        self._array, self.lengths = array, None
        if lengths is not None:
            counts = np.asarray(lengths)
            good = counts.shape == array.shape[:1] and counts.dtype.kind in "iu"
            if not good or (len(counts) and not 1 <= counts.min() <= counts.max() <= self.length):
                expected = f"an integer from 1 to {self.length} for each of {len(array)} sequences"
                raise ParameterError("lengths", lengths, expected)
            self.lengths = counts.astype(np.int64)

    @property
    def shape(self) -> tuple[int, ...]:
        """``(samples, length)`` or ``(samples, length, features)``."""
        return self._array.shape

    @property
    def length(self) -> int:
        """Tokens of the longest sequence."""
        return self._array.shape[1]

    def __getitem__(self, rows: Any) -> SequenceSamples:
        """Return some of the samples."""
        return SequenceSamples(
            self._array[rows], None if self.lengths is None else self.lengths[rows]
        )

    def take_sequences(self, rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return a copy of some sequences, and how many tokens of each count (int64).

        Parameters
        ----------
        rows : ndarray of int64
            Their numbers.

        Raises
        ------
        DataError
            If -1 stands before a token, or a sequence has none.
        """
        taken = self._array[rows]
        if self.lengths is not None:
            counts = self.lengths[rows]
            if taken.ndim == 2:
                missing = (taken < 0) & (np.arange(self.length) < counts[:, None])
                for row, at in np.argwhere(missing)[:1].tolist():
                    found = f"x[{rows[row]}, {at}] is {taken[row, at]}"
                    raise DataError(f"{found}; expected a token: the length is {counts[row]}")
            return taken, counts
        if taken.ndim == 3 or taken.dtype.kind == "u":
            return taken, np.full(len(taken), self.length, np.int64)
        real = taken >= 0
        counts = real.sum(axis=1)
        ends = np.arange(self.length) < counts[:, None]
        for row, at in np.argwhere((real != ends) & (counts > 0)[:, None])[:1].tolist():
            raise DataError(f"x[{rows[row]}, {at}] stands behind -1, which ends a sequence")
        if len(counts) and counts.min() < 1:
            raise DataError(f"x[{rows[int(counts.argmin())]}] has no token; expected at least one")
        return taken, counts


#: What batches are taken from.
BatchSource = Samples | SequenceSamples


def as_sequences(x: Any, length: int, features: int | None, dtype: Any) -> SequenceSamples:
    """Return samples as sequences of up to ``length`` tokens, each of so many ``features``.

    ``features`` is None for token numbers, which are looked at when a batch is taken. ``DataError``
    if they are of another shape, or beyond what ``dtype`` holds.
    """
    try:
        found = x if isinstance(x, SequenceSamples) else SequenceSamples(x)
    except (ParameterError, ValueError, TypeError) as error:
        raise DataError(str(error)) from None
    wanted = (features,) if features is not None else ()
    if found.shape[2:] != wanted or not 1 <= found.length <= length:
        inner = f"up to {length}" + "".join(f", {size}" for size in wanted)
        raise DataError(f"x has shape {found.shape}; expected (samples, {inner})")
    if features is not None:
        refuse_beyond("x", found._array, dtype)
    return found


def checked_tokens(name: str, ids: np.ndarray, rows: np.ndarray, vocabulary: int) -> np.ndarray:
    """Return the numbers of tokens, of samples ``rows``, if all are below ``vocabulary``.

    -1 stands for no token. ``DataError`` names the first other number in the array of that name.
    """
    if ids.size and not -1 <= int(ids.min()) <= int(ids.max()) < vocabulary:
        row, at = np.argwhere((ids.astype(np.int64) < -1) | (ids >= vocabulary))[0].tolist()
        expected = f"token numbers from 0 to {vocabulary - 1}"
        raise DataError(f"{name}[{rows[row]}, {at}] is {ids[row, at]}; expected {expected}")
    return ids
