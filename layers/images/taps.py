"""A convolution's nonzeros as places in a ring of rows.

A span of output columns is computed row by row, and a row strip by strip. The input rows that it
needs lie in a small ring in the level-2 cache, padding and all. For a filter of 3 x 3 and output
row 4, without padding::

    output row 3 reads rows 3 4 5        output row 4 reads rows 4 5 6

    ring   0 | row 3 | channel 0 | channel 1 | ...       0 | row 6 |  <- packed over row 3
           1 | row 4 | channel 0 | channel 1 | ...       1 | row 4 |
           2 | row 5 | channel 0 | channel 1 | ...       2 | row 5 |

Each nonzero is one *tap*: so many rows below the first that the output row reads, and so many
pixels from the beginning of that row of the ring. One 32-bit ``code`` holds both::

    bit  31                  24 23                                                          0
        |  row, ky of the filter |  pixel in the row: (channel, column modulo step, column)  |

Forward and dx differ in nothing else. A row of the ring is (channels, step, room) pixels: columns
that are ``step`` apart (the stride) are neighbours there, so that neighbouring outputs read
neighbouring pixels at any stride.

dx at stride s falls into s x s *phases*, one for each place of a pixel modulo s: only some of the
filter's taps reach it, and these are a convolution of stride 1 over dy.

Taps that read the same few channels come one after the other, for all outputs: a *block* of
channels is small enough for the level-1 cache, from which the registers are filled several times
faster than from the level-2 cache. Sums wait in memory from one block to the next, which pays where
an output has enough taps in a block. Taps of a phase and a block are a *segment*.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from sparsecpu.errors import ParameterError
from sparsecpu.kernels.conv.sizes import Sizes
from sparsecpu.kernels.machine.cached import cached_property
from sparsecpu.layers.images.geometry import Geometry
from sparsecpu.layers.images.padded_taps import PaddedTaps
from sparsecpu.layers.images.strips import Ring, Tiles, choose_blocks, cut_work
from sparsecpu.sparse.pattern import Pattern

#: Bits of a code below the row in the ring.
ROW_SHIFT = 24


@dataclass(frozen=True)
class Taps:
    """What the kernels need to know of one direction of a convolution.

    ``codes`` (nnz,), int32, says where each nonzero reads, ``order`` (nnz,), int32, which nonzero
    of the pattern that is (None: they are in its order). ``starts`` and ``ends`` (segments, rows),
    int64, say which codes belong to an output channel in a segment. ``phases`` (phases, 4), int64,
    has the first row and column of the output that a phase writes, its first segment and the one
    after its last. If ``direct``, strips read planes where they lie instead of a ring.
    """

    codes: np.ndarray
    order: np.ndarray | None
    starts: np.ndarray
    ends: np.ndarray
    phases: np.ndarray
    sizes: Sizes
    strip: int
    direct: bool = False

    @cached_property
    def sizes_array(self) -> np.ndarray:
        """The sizes as kernels take them."""
        return _frozen(np.array(self.sizes, dtype=np.int64))

    @cached_property
    def padded(self) -> PaddedTaps:
        """The same in rows of a multiple of four taps, as sums over pixels need them."""
        return PaddedTaps.of(self.codes, self.order, self.starts, self.ends)

    @property
    def ring_pixels(self) -> int:
        """Pixels of the ring."""
        sizes = self.sizes
        return sizes.channels * sizes.step * sizes.room * sizes.depth * sizes.tiles_per_job

    @property
    def in_strips(self) -> bool:
        """True if outputs lie in planes as in registers: whole strips, nothing in between."""
        alone = len(self.phases) == self.sizes.tiles_per_job == 1
        return alone and self.sizes.out_width % self.strip == 0

    @property
    def bases(self) -> int:
        """Room to note where each strip of a span finds each row of the ring: whole cache lines."""
        strips = self.sizes.span * self.sizes.tiles_per_job // self.strip
        return -(-(strips * self.sizes.depth) // 128) * 128

    @property
    def row_pixels(self) -> int:
        """Pixels of a job's outputs in one row, those of all channels and tiles."""
        return self.sizes.filters * self.sizes.span * self.sizes.tiles_per_job


def forward_taps(
    pattern: Pattern, geometry: Geometry, tiles: Tiles, *, direct: bool = False
) -> Taps:
    """Return the taps of ``y = W * x``, which are also those of dW made by itself.

    ``direct`` allows to read planes where they lie, in which nothing is pending, if filters have
    one pixel.
    """
    g = geometry
    (kh, kw), sx = g.kernel, g.stride[1]
    step = min(sx, kw)  # columns that no tap reads are not kept
    ring = Ring(g.channels, rows=kh, step=step, reach=(kw - 1) // sx, strips_held=1)
    cut = cut_work(ring, g.out_size, tiles, direct and g.pointwise)
    out, channel, ky, kx = _positions(pattern, g)
    pixel = ((channel * step + kx % sx) * cut.room + kx // sx) * cut.tiles_per_job
    like = cut_work(ring, g.out_size, tiles.by_itself(), cut.direct) if tiles.alike else cut
    read = ring.channel_bytes(like.strip, like.tiles_per_job, tiles)
    blocks = choose_blocks(ring, read, pattern.nnz / max(1, g.filters), g.groups)
    sizes = g.forward_sizes(
        step=step, room=cut.room, depth=kh, span=cut.span, tiles_per_job=cut.tiles_per_job,
        bands=cut.bands,
    )  # fmt: skip
    codes = codes_of(ky, pixel, sizes)
    order, starts, ends = _sorted(channel * blocks // g.channels, out, blocks, g.filters)
    return _made(codes, order, starts, ends, [(0, 0, 0, blocks)], sizes, cut.strip, cut.direct)


def backward_taps(
    pattern: Pattern, geometry: Geometry, tiles: Tiles, *, direct: bool = False
) -> Taps:
    """Return the taps of dx, and of dW along with it: a convolution over dy, phase by phase.

    Pixel ``a + s t`` of x, in phase a, takes from row ``t + (a + p - ky) / s`` of dy through the
    taps for which that is whole. They are in an order of their own; ``direct`` as above.
    """
    g = geometry
    (kh, kw), (sy, sx), (py, px) = g.kernel, g.stride, g.padding
    top, below = _phase_reach(kh, sy, py)
    left, right = _phase_reach(kw, sx, px)
    ring = Ring(g.filters, rows=top + below + 1, step=1, reach=left + right, strips_held=2)
    outputs = -(-g.size[0] // sy), -(-g.size[1] // sx)  # of one phase
    cut = cut_work(ring, outputs, tiles, direct and g.pointwise)
    out, channel, ky, kx = _positions(pattern, g)
    a, b = (ky - py) % sy, (kx - px) % sx  # the phase in which a tap is used
    row, column = (a + py - ky) // sy + top, (b + px - kx) // sx + left
    pixel = (out.astype(np.int64) * cut.room + column) * cut.tiles_per_job
    phases = sy * sx
    read = ring.channel_bytes(cut.strip, cut.tiles_per_job, tiles)
    blocks = choose_blocks(ring, read, pattern.nnz / (g.channels * phases), g.groups)
    (height, width), (out_height, out_width) = g.out_size, g.size
    sizes = Sizes(
        channels=g.filters, height=height, width=width, filters=g.channels, out_height=out_height,
        out_width=out_width, down=1, across=1, rows=outputs[0], columns=outputs[1], top=top,
        left=left, skip_rows=sy, skip_columns=sx, step=1, room=cut.room, depth=ring.rows,
        span=cut.span, tiles_per_job=cut.tiles_per_job, bands=cut.bands,
    )  # fmt: skip
    codes = codes_of(row, pixel, sizes)
    segment = (a * sx + b) * blocks + out * blocks // g.filters
    order, starts, ends = _sorted(segment, channel, phases * blocks, g.channels)
    table = [(n // sx, n % sx, n * blocks, (n + 1) * blocks) for n in range(phases)]
    return _made(codes, order, starts, ends, table, sizes, cut.strip, cut.direct)


def _positions(pattern: Pattern, g: Geometry) -> tuple[np.ndarray, ...]:
    """Return the output channel, input channel, ky and kx of each nonzero."""
    shape = (g.channels // g.groups, *g.kernel)
    channel, ky, kx = np.unravel_index(pattern.indices, shape)
    out = pattern.rows()
    return out, channel + out // (g.filters // g.groups) * shape[0], ky, kx


def _phase_reach(kernel: int, stride: int, padding: int) -> tuple[int, int]:
    """Return how many places of dy before a pixel's own the phases read, and how many behind."""
    shifts = [a + padding - k for a in range(stride) for k in range(kernel)]
    whole = [shift // stride for shift in shifts if shift % stride == 0]
    return -min(whole), max(whole)


def codes_of(rows: np.ndarray, pixels: np.ndarray, sizes: Sizes) -> np.ndarray:
    """Return a row and a pixel of the ring for each tap, as one number."""
    row = sizes.channels * sizes.step * sizes.room * sizes.tiles_per_job
    if row >= 1 << ROW_SHIFT or sizes.depth > 127:
        raise ParameterError("channels", sizes.channels, "fewer channels or a smaller kernel")
    return (np.asarray(rows, dtype=np.int64) << ROW_SHIFT | pixels).astype(np.int32)


def _sorted(segments: np.ndarray, rows: np.ndarray, n_segments: int, n_rows: int) -> tuple:
    """Return the order of taps by segment and row, and where each row of a segment lies."""
    keys = segments.astype(np.int64) * n_rows + rows
    ends = np.cumsum(np.bincount(keys, minlength=n_segments * n_rows))
    starts = np.concatenate([[0], ends[:-1]])
    order = np.argsort(keys, kind="stable")
    unmoved = (order[1:] > order[:-1]).all()
    shape = n_segments, n_rows
    return None if unmoved else order, starts.reshape(shape), ends.reshape(shape)


def _made(codes, order, starts, ends, phases, sizes: Sizes, strip: int, direct: bool) -> Taps:
    if order is not None:
        codes, order = codes[order], _frozen(order.astype(np.int32))
    starts, ends = (np.ascontiguousarray(x, dtype=np.int64) for x in (starts, ends))
    phases = np.array(phases, dtype=np.int64).reshape(-1, 4)
    codes, starts, ends, phases = (_frozen(x) for x in (codes, starts, ends, phases))
    return Taps(codes, order, starts, ends, phases, sizes, strip, direct)


def _frozen(array: np.ndarray) -> np.ndarray:
    """Make an array read-only, as all index arrays are, so that kernels compile once."""
    array.setflags(write=False)
    return array
