"""A convolution's nonzeros as places in a ring of rows.

A chunk of output columns is computed row by row, and a row strip by strip. The input rows that it
needs lie in a small ring in the level-2 cache, padding and all, and each nonzero is one *tap*: a
place in the ring, as many rows below the output row's first as the filter says. One 32-bit ``code``
holds it: the row above bit 24, the place within a row of the ring (in pixels) below. Forward and dx
differ in nothing else.

A row of the ring is ``(channels, step, room)`` pixels: columns that are ``step`` apart (the stride)
stand side by side, so that neighbouring outputs read neighbouring pixels at any stride.

dx at stride s falls into s x s *phases*, one for each place of a pixel modulo s: only some of the
filter's taps reach it, and these are a convolution of stride 1 over dy.

Taps that read the same few channels come one after the other, for all outputs: a *block* of
channels is small enough for the level-1 cache, from which the registers are filled several times
faster than from the level-2 cache. Sums wait in memory from one block to the next, which pays where
an output has enough taps in a block. Taps of a phase and a block are a *segment*.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from sparsecpu.errors import ParameterError
from sparsecpu.kernels.conv.sizes import Sizes
from sparsecpu.kernels.machine.cpu import level_two_cache
from sparsecpu.layers.images.strips import (
    JOBS,
    RING,
    choose_blocks,
    choose_jobs,
    choose_strip,
    ring_room,
)
from sparsecpu.sparse.pattern import Pattern

#: Bits of a code below the row in the ring.
ROW_SHIFT = 24


@dataclass(frozen=True)
class Geometry:
    """Sizes of a convolution.

    Parameters
    ----------
    channels, filters : int
        Channels of its input and of its output.
    kernel, stride, padding : tuple of two ints
        Height and width each.
    groups : int
        Groups of channels that do not mix.
    size : tuple of two ints
        Height and width of the input.

    Raises
    ------
    ParameterError
        If nothing would come out.
    """

    channels: int
    filters: int
    kernel: tuple[int, int]
    stride: tuple[int, int]
    padding: tuple[int, int]
    groups: int
    size: tuple[int, int]

    def __post_init__(self) -> None:
        if min(self.out_size) < 1:
            expected = f"at least {self.kernel} with padding {self.padding}"
            raise ParameterError("image size", self.size, expected)

    @property
    def out_size(self) -> tuple[int, int]:
        """Height and width of the output."""
        zipped = zip(self.size, self.kernel, self.stride, self.padding, strict=True)
        height, width = ((n + 2 * p - k) // s + 1 for n, k, s, p in zipped)
        return height, width

    @property
    def pointwise(self) -> bool:
        """Whether each output pixel depends on the input's pixel at its place alone."""
        return self.kernel == self.stride == (1, 1) and self.padding == (0, 0)

    @property
    def shape(self) -> tuple[int, int]:
        """Shape of the weights: filters, and (channel of the group, ky, kx) flattened."""
        return self.filters, self.channels // self.groups * self.kernel[0] * self.kernel[1]


@dataclass(frozen=True)
class Taps:
    """What the kernels need to know of one direction of a convolution.

    Parameters
    ----------
    codes : ndarray of int32, shape (nnz,)
        Where each nonzero reads.
    order : ndarray of int32, shape (nnz,), or None
        Which nonzero of the pattern each code belongs to; None where they are in its order.
    starts, ends : ndarray of int64, shape (segments, rows)
        Which codes belong to a row (an output channel) in a segment.
    phases : ndarray of int64, shape (phases, 4)
        First row and column of the output that a phase writes, first segment and the one after
        its last.
    sizes : Sizes
        Sizes of the planes, the ring and the jobs.
    strip : int
        Pixels that are computed at once.
    straight : bool
        Whether they read rows of planes instead of a ring.
    """

    codes: np.ndarray
    order: np.ndarray | None
    starts: np.ndarray
    ends: np.ndarray
    phases: np.ndarray
    sizes: Sizes
    strip: int
    straight: bool = False

    @cached_property
    def sizes_array(self) -> np.ndarray:
        """The sizes as kernels take them."""
        array = np.array(self.sizes, dtype=np.int64)
        array.setflags(write=False)  # as all index arrays are, so that kernels compile once
        return array

    @property
    def ring_pixels(self) -> int:
        """Pixels of the ring."""
        sizes = self.sizes
        return sizes.channels * sizes.step * sizes.room * sizes.depth * sizes.tiles_per_job

    @property
    def in_strips(self) -> bool:
        """Whether outputs lie in planes as in registers: whole strips, nothing in between."""
        alone = len(self.phases) == self.sizes.tiles_per_job == 1
        return alone and self.sizes.out_width % self.strip == 0

    @property
    def bases(self) -> int:
        """Room for where each strip of a chunk finds each row of the ring: whole cache lines."""
        strips = self.sizes.span * self.sizes.tiles_per_job // self.strip
        return -(-(strips * self.sizes.depth) // 128) * 128

    @property
    def row_pixels(self) -> int:
        """Pixels of a chunk's outputs in one row, those of all channels and tiles abreast."""
        return self.sizes.filters * self.sizes.span * self.sizes.tiles_per_job

    @cached_property
    def padded(self) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
        """Rows of segments filled up to a multiple of four taps: codes, starts, ends, and where.

        Sums over pixels are made for 16, 8 or 4 taps at once; a tap that only fills up is computed
        and left. The last array tells where each nonzero of the pattern is.
        """
        counts = (self.ends - self.starts).ravel()
        room = -(-counts // 4) * 4
        ends = np.cumsum(room)
        starts = ends - room
        at = np.arange(len(self.codes), dtype=np.int64) + np.repeat(
            starts - self.starts.ravel(), counts
        )
        codes = np.zeros(int(ends[-1]) if len(ends) else 0, dtype=np.int32)
        codes[at] = self.codes
        places = at.astype(np.int32)
        if self.order is not None:
            places[self.order] = at
        starts, ends = starts.reshape(self.starts.shape), ends.reshape(self.starts.shape)
        for array in (codes, starts, ends, places):
            array.setflags(write=False)
        return codes, starts, ends, places

    @cached_property
    def padded_order(self) -> np.ndarray:
        """Which nonzero of the pattern each padded code belongs to; any for those that fill up."""
        order = np.zeros(len(self.padded[0]), dtype=np.int32)
        order[self.padded[3]] = np.arange(len(self.codes), dtype=np.int32)
        order.setflags(write=False)
        return order

    @cached_property
    def fillers(self) -> np.ndarray:
        """Which padded codes only fill up."""
        fills = np.ones(len(self.padded[0]), dtype=bool)
        fills[self.padded[3]] = False
        return np.flatnonzero(fills)


def forward_taps(
    pattern: Pattern, geometry: Geometry, lanes: int, bytes_: int = 4, ring_bytes: int = 4,
    tiles: int = JOBS, solid: bool = False,
) -> Taps:  # fmt: skip
    """Return the taps of ``y = W * x``, which are also those of dW made by itself.

    Parameters
    ----------
    pattern : Pattern
        The nonzeros.
    geometry : Geometry
        The sizes.
    lanes : int
        Samples per tile.
    bytes_, ring_bytes : int
        Bytes per number, in registers and in the ring.
    tiles : int
        Of a batch.
    solid : bool
        Whether planes hold what is meant: a ring is not needed then, if filters have one pixel.

    Returns
    -------
    Taps
        In the pattern's order.
    """
    g = geometry
    (kh, kw), (sy, sx) = g.kernel, g.stride
    step = min(sx, kw)  # columns that no tap reads are not kept
    reach = (kw - 1) // sx
    width = g.out_size[1]
    strip, abreast = choose_strip(
        width, g.channels * step, kh, reach, lanes, bytes_, ring_bytes, tiles
    )
    column = kh * g.channels * step * abreast * lanes * ring_bytes
    straight = _straight_strip(g, strip, solid)
    if straight:
        strip, abreast = straight, 1
    most = width if straight else RING * level_two_cache() / column - reach
    chunk, bands = choose_jobs(g.out_size, strip, abreast, most, tiles, kh)
    room = width if straight else ring_room(chunk, reach, abreast * lanes, ring_bytes)
    channel, ky, kx = np.unravel_index(pattern.indices, (g.channels // g.groups, kh, kw))
    rows = pattern.rows()
    channel = channel + rows // (g.filters // g.groups) * (g.channels // g.groups)
    place = ((channel * step + kx % sx) * room + kx // sx) * abreast
    window = kh * step * (strip + reach * abreast) * lanes * ring_bytes
    blocks = choose_blocks(g.channels, window, pattern.nnz / max(1, g.filters), g.groups)
    sorting = _sorted(channel * blocks // g.channels, rows, blocks, g.filters)
    height, width = g.out_size
    return _taps(
        ky, place, sorting, [(0, 0, 0, blocks)],
        Sizes(g.channels, *g.size, g.filters, height, width, sy, sx, height, width, *g.padding, 1,
              1, step, room, kh, chunk, abreast, bands),
        strip, straight > 0,
    )  # fmt: skip


def backward_taps(
    pattern: Pattern, geometry: Geometry, lanes: int, bytes_: int = 4, ring_bytes: int = 4,
    tiles: int = JOBS, solid: bool = False,
) -> Taps:  # fmt: skip
    """Return the taps of dx, and of dW along with it: a convolution over dy, phase by phase.

    Parameters
    ----------
    pattern : Pattern
        The nonzeros.
    geometry : Geometry
        The sizes.
    lanes : int
        Samples per tile.
    bytes_, ring_bytes : int
        Bytes per number, in registers and in the ring.
    tiles : int
        Of a batch.
    solid : bool
        Whether planes hold what is meant: a ring is not needed then, if filters have one pixel.

    Returns
    -------
    Taps
        In an order of their own.
    """
    g = geometry
    (kh, kw), (sy, sx), (py, px) = g.kernel, g.stride, g.padding
    # Pixel (a + sy t, b + sx u) of x takes from row t + (a + py - ky) / sy of dy: ``down`` rows
    # below the highest that any phase needs, and likewise ``right`` columns.
    down = [[(a + py - ky) / sy for ky in range(kh)] for a in range(sy)]
    right = [[(b + px - kx) / sx for kx in range(kw)] for b in range(sx)]
    top, left = (-min(int(d) for line in m for d in line if d == int(d)) for m in (down, right))
    rows, reach = (
        max(int(d) for line in m for d in line if d == int(d)) + edge
        for m, edge in ((down, top), (right, left))
    )
    channel, ky, kx = np.unravel_index(pattern.indices, (g.channels // g.groups, kh, kw))
    outputs = pattern.rows()  # of the layer; what dx reads
    channel = channel + outputs // (g.filters // g.groups) * (g.channels // g.groups)
    a, b = (ky - py) % sy, (kx - px) % sx  # the phase in which a tap is used
    columns_out = -(-g.size[1] // sx)
    strip, abreast = choose_strip(
        columns_out, g.filters, rows + 1, reach, lanes, bytes_, ring_bytes, tiles, sets=2
    )
    column = (rows + 1) * g.filters * abreast * lanes * ring_bytes
    straight = _straight_strip(g, strip, solid)
    if straight:
        strip, abreast = straight, 1
    most = columns_out if straight else RING * level_two_cache() / column - reach
    counted = -(-g.size[0] // sy), columns_out
    chunk, bands = choose_jobs(counted, strip, abreast, most, tiles, rows + 1)
    room = columns_out if straight else ring_room(chunk, reach, abreast * lanes, ring_bytes)
    place = (outputs.astype(np.int64) * room + (b + px - kx) // sx + left) * abreast
    row = (a + py - ky) // sy + top
    phases = sy * sx
    window = (rows + 1) * (strip + reach * abreast) * lanes * ring_bytes
    taps = pattern.nnz / (g.channels * phases)
    blocks = choose_blocks(g.filters, window, taps, g.groups, sets=2)
    segment = (a * sx + b) * blocks + outputs * blocks // g.filters
    sorting = _sorted(segment, channel, phases * blocks, g.channels)
    height, width = g.size
    return _taps(
        row, place, sorting,
        [(n // sx, n % sx, n * blocks, (n + 1) * blocks) for n in range(phases)],
        Sizes(g.filters, *g.out_size, g.channels, height, width, 1, 1, *counted, top, left, sy, sx,
              1, room, rows + 1, chunk, abreast, bands),
        strip, straight > 0,
    )  # fmt: skip


def _straight_strip(geometry: Geometry, most: int, solid: bool) -> int:
    """Return how many pixels can be read at once where they lie in planes; 0 where none can."""
    if not (solid and geometry.pointwise):
        return 0
    return next((n for n in (8, 4) if geometry.size[1] % n == 0 and n <= most), 0)


def _sorted(segments, rows, n_segments: int, n_rows: int):
    """Return the order of taps by segment and row, and where each row of a segment lies."""
    keys = segments.astype(np.int64) * n_rows + rows
    ends = np.cumsum(np.bincount(keys, minlength=n_segments * n_rows))
    starts = np.concatenate([[0], ends[:-1]])
    order: np.ndarray | None = np.argsort(keys, kind="stable")
    assert order is not None
    if (order[1:] > order[:-1]).all():
        order = None
    return order, starts.reshape(n_segments, n_rows), ends.reshape(n_segments, n_rows)


def _taps(rows, places, sorting, phases, sizes: Sizes, strip: int, straight: bool) -> Taps:
    row = sizes.channels * sizes.step * sizes.room * sizes.tiles_per_job
    if row >= 1 << ROW_SHIFT or sizes.depth > 127:
        raise ParameterError("channels", sizes.channels, "fewer channels or a smaller kernel")
    codes = (np.asarray(rows, dtype=np.int64) << ROW_SHIFT | places).astype(np.int32)
    order, *bounds = sorting
    if order is not None:
        codes, order = codes[order], order.astype(np.int32)
        order.setflags(write=False)
    starts, ends = (np.ascontiguousarray(x, dtype=np.int64) for x in bounds)
    phases = np.array(phases, dtype=np.int64).reshape(-1, 4)
    for array in (codes, starts, ends, phases):
        array.setflags(write=False)  # as all index arrays are, so that kernels compile once
    return Taps(codes, order, starts, ends, phases, sizes, strip, straight)
