"""What the kernels of planes read and write, in named tuples.

Planes are ``(tiles, height, channels, width, lanes)``. An empty array stands for what there is not.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

#: Sides of a filter: left, between, and right; see ``GroupIndex``.
SIDES = 3


class Operand(NamedTuple):
    """Lazy planes: ``relu(a * (values - centre) + c)``, channel by channel.

    With an other, of a gradient, ``a * values + b * (other - centre) + c``. ``pending`` has a, b, c
    and the centre of each channel, and is empty where nothing is pending.
    """

    values: np.ndarray
    other: np.ndarray
    pending: np.ndarray
    relu: bool


class Gate(NamedTuple):
    """Where a gradient passes: where ``a * (values - centre) + c > 0``, for an ``Operand``'s names.

    Empty values let everything pass.
    """

    values: np.ndarray
    pending: np.ndarray


class Output(NamedTuple):
    """What is written: ``y + plus``, its positive part with ``relu``, and sums over its pixels.

    ``plus`` is empty where nothing is added, and in pooling always. ``sums`` is float64, ``(jobs,
    channels, 2, bytes of the lanes / 8)``, one job for each tile in passes over planes; ``kind`` is
    one of ``kernels.conv.sums``.
    """

    y: np.ndarray
    relu: bool
    sums: np.ndarray
    kind: int
    plus: Operand


class TapIndex(NamedTuple):
    """The taps of a convolution: ``codes[starts[segment, i]:ends[segment, i]]`` are output i's.

    A code has the tap's row in the ring from bit 24 on, and its pixel in that row below.
    """

    codes: np.ndarray
    starts: np.ndarray
    ends: np.ndarray


class GroupIndex(NamedTuple):
    """The taps of filters that stand in groups: side of the filter by side, there row by row.

    Where planes begin, outputs of the first column see padding with the taps of side 0; where they
    end, those of the last column with side 2; with side 1 neither. Of filters ``high`` rows tall,
    the taps of group g on side s in the rows from a on and before b are
    ``codes[starts[g, s * high + a]:starts[g, s * high + b]]``. Codes are as in ``TapIndex``;
    ``order`` says which nonzero of the pattern of groups each of them is.
    """

    codes: np.ndarray
    starts: np.ndarray
    order: np.ndarray


class Direct(NamedTuple):
    """What takes no detour through a worker's own memory.

    ``reads``: inputs come from planes where they lie, not from a ring (filters of one pixel see no
    padding). ``writes``: outputs go from registers to planes. ``factors``: the x that dW needs is
    read from planes as well.
    """

    reads: bool
    writes: bool
    factors: bool


class Space(NamedTuple):
    """Memory of the workers, a row each, but for planes that stand for the ring.

    ``ring`` holds rows of inputs; ``bases`` is where each strip finds each row of the ring;
    ``scratch`` holds a row of outputs that wait and, in its second half, one of x.
    """

    ring: np.ndarray
    bases: np.ndarray
    scratch: np.ndarray


class Windows(NamedTuple):
    """Height and width of a window, from one window to the next, and of the padding."""

    size: np.ndarray
    stride: np.ndarray
    padding: np.ndarray


class Covering(NamedTuple):
    """For each row and each column of dx, the first window that it is in, and one past the last."""

    down: np.ndarray
    across: np.ndarray
