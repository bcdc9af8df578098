"""Where the tokens of a batch stand, which see each other, and the strips of attention."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from sparsecpu.errors import ParameterError
from sparsecpu.kernels.linear.grouped import sums_bytes
from sparsecpu.kernels.machine.cpu import registers

#: Sequences begin at a multiple of so many lanes.
_STEP = 16


def strip_of(lanes: int, itemsize: int) -> int:
    """Return how many tokens stand in a strip: two registers of them, at most a tile.

    It is a power of two, as squares are transposed, and strips make up a tile. Narrow strips waste
    little where a causal sequence ends, or a short one, and what two of them need is near.
    """
    return min(lanes & -lanes, 2 * registers()[1] // itemsize)


def block_of(lanes: int, itemsize: int) -> int:
    """Return how many queries, and keys, meet at once forward: two strips, at most a tile."""
    return min(lanes & -lanes, 2 * strip_of(lanes, itemsize))


def rows_of(width: int, itemsize: int) -> int:
    """Return the rows of a bundle: keys or queries, or features, whose sums are made at once."""
    return min(sums_bytes() // (width * itemsize), width)


class Sequences(NamedTuple):
    """The tokens of a batch, in strips; the strips of a tile follow each other."""

    owner: np.ndarray  #: (tokens,), the number of each token's sequence; -1 for padding
    least: np.ndarray  #: (strips,), the smallest number in each strip
    most: np.ndarray  #: (strips,), the largest
    opens: np.ndarray  #: (strips,), the first strip of the run to which a strip belongs
    runs: np.ndarray  #: (runs + 1,), where runs begin: no sequence reaches into two of them
    position: np.ndarray  #: (tokens,), the place of each token in its sequence; 0 for padding
    place: np.ndarray  #: (sequences, length), where each sequence's tokens stand; -1 for none

    @property
    def strips(self) -> tuple[np.ndarray, ...]:
        """What the kernels of attention take: ``owner, least, most, opens, runs``."""
        return self[:5]

    @classmethod
    def of(cls, owner: np.ndarray, lanes: int, itemsize: int) -> Sequences:
        """Return sequences by the number of each token's, in the order of tiles and lanes.

        Tokens of a sequence stand in the order of time; others may stand between them.
        """
        owner = np.ascontiguousarray(owner, np.int32)
        strip = strip_of(lanes, itemsize)
        if owner.ndim != 1 or len(owner) % lanes:
            raise ParameterError("owner", owner.shape, f"a number per token of tiles of {lanes}")
        strips = owner.reshape(-1, strip)
        least, most = strips.min(axis=1), strips.max(axis=1)
        starts = _starts_of_runs(owner, strip)
        runs = np.append(starts, len(strips))
        opens = np.repeat(starts, np.diff(runs))
        return cls(owner, least, most, opens, runs, *_positions(owner))

    @classmethod
    def of_lengths(cls, lengths: np.ndarray, lanes: int, itemsize: int) -> Sequences:
        """Return sequences of so many tokens each, laid out in tiles; there is at least one tile.

        A sequence begins at a multiple of 16 lanes and lies within one block, or begins at a block:
        so that its sums have one order, whatever stands beside it.
        """
        block, step = block_of(lanes, itemsize), min(_STEP, lanes)
        sizes = np.asarray(lengths, np.int64)
        starts, end = [], 0
        for size in (-(-sizes // step) * step).tolist():
            if end % block + size > block:
                end = -(-end // block) * block
            starts.append(end)
            end += size
        owner = np.full(max(-(-end // lanes), 1) * lanes, -1, np.int32)
        for number, (start, size) in enumerate(zip(starts, sizes.tolist(), strict=True)):
            owner[start : start + size] = number
        return cls.of(owner, lanes, itemsize)


def _positions(owner: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return each token's place in its sequence, and where each sequence's tokens stand."""
    order = np.argsort(owner, kind="stable")
    order = order[np.searchsorted(owner[order], 0) :]  # without padding
    named = owner[order]
    counts = np.bincount(named, minlength=int(named.max(initial=-1)) + 1)
    rank = np.arange(len(order)) - np.repeat(np.cumsum(counts) - counts, counts)
    position = np.zeros(len(owner), np.int32)
    place = np.full((len(counts), counts.max(initial=0)), -1, np.int64)
    position[order], place[named, rank] = rank, order
    return position, place


def _starts_of_runs(owner: np.ndarray, strip: int) -> np.ndarray:
    """Return the strips before which every sequence that has begun has ended."""
    strips = len(owner) // strip
    real = np.flatnonzero(owner >= 0)
    _, names = np.unique(owner[real], return_inverse=True)
    count = int(names.max(initial=-1)) + 1
    first, last = np.full(count, strips), np.zeros(count, np.int64)
    np.minimum.at(first, names, real // strip)
    np.maximum.at(last, names, real // strip)
    open_ = np.zeros(strips + 1, np.int64)  # sequences that reach from the strip before into this
    np.add.at(open_, first + 1, 1)
    np.add.at(open_, last + 1, -1)
    return np.flatnonzero(np.cumsum(open_[:strips]) == 0)
