"""The taps of filters that stand in groups, and how the work on them is cut.

Taps are as in ``taps.py``, but there is one for each shared column, in the order of the pattern:
values are read where they lie, and both directions read the same index. dx is scattered, so its
ring and that of x have the same rows. See ``kernels.conv.grouped_forward`` and
``kernels.conv.grouped_backward``.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from sparsecpu.kernels.conv.operands import GroupIndex
from sparsecpu.kernels.conv.sizes import Sizes
from sparsecpu.kernels.linear.grouped import sums_bytes
from sparsecpu.kernels.machine.cached import cached_property
from sparsecpu.kernels.machine.cpu import level_two_cache
from sparsecpu.layers.images.geometry import Geometry
from sparsecpu.layers.images.strips import Tiles, choose_jobs, ring_room
from sparsecpu.layers.images.taps import codes_of
from sparsecpu.sparse.pattern import Pattern

#: Part of the level-2 cache that the rings may take.
_RING_PART = 0.6
#: Pixels of a row of dy, or of several, that dW sums up at once where the cache has the room.
_PIXELS = 64


@dataclass(frozen=True)
class GroupedTaps:
    """What the kernels need to know: the index of taps, sizes, strips of so many pixels.

    ``rows`` of outputs are computed at a time, and a filter is ``high`` rows tall. If ``direct``,
    strips read planes where they lie instead of a ring.
    """

    index: GroupIndex
    sizes: Sizes
    strip: int
    rows: int
    high: int
    direct: bool

    @cached_property
    def sizes_array(self) -> np.ndarray:
        """The sizes as kernels take them."""
        found = np.array(self.sizes, dtype=np.int64)
        found.setflags(write=False)
        return found

    @property
    def ring_pixels(self) -> int:
        """Pixels of the ring."""
        s = self.sizes
        return s.channels * s.step * s.room * s.depth * s.tiles_per_job

    @property
    def bases(self) -> int:
        """Room to note where each strip finds each row of the ring: whole cache lines."""
        strips = self.sizes.span * self.sizes.tiles_per_job // self.strip
        return -(-(strips * self.rows * self.high) // 128) * 128

    def line_pixels(self, group: int) -> int:
        """Return the pixels of a group's lines in the rows that are computed at a time."""
        return self.rows * group * self.sizes.span * self.sizes.tiles_per_job


def suits_groups(pattern: Pattern, geometry: Geometry) -> bool:
    """Return True if filters stand in groups, each of which reads the same channels."""
    alike = geometry.groups == 1 or geometry.filters // geometry.groups % pattern.group == 0
    return pattern.group > 1 and alike


def grouped_forward_taps(
    pattern: Pattern, geometry: Geometry, tiles: Tiles, *, direct: bool
) -> GroupedTaps:
    """Return the taps of ``y = W * x``."""
    g, (kh, kw), (_, sx) = geometry, geometry.kernel, geometry.stride
    strip, tiles_per_job = choose_grouped_strip(g.out_size[1], pattern.group, tiles)
    direct = direct and g.pointwise and g.size[1] % strip == 0
    if direct:
        tiles_per_job = 1
    step, reach = min(sx, kw), (kw - 1) // sx
    column = kh * g.channels * step * tiles.lanes * tiles.ring_bytes * tiles_per_job
    whole_row = g.out_size[1] + strip
    most = whole_row if direct else _RING_PART * level_two_cache() / column - reach
    span, bands = choose_jobs(g.out_size, strip, tiles_per_job, most, tiles.count, kh)
    room = span + reach
    if direct:
        room = g.size[1]
    else:
        room = ring_room(span, reach, tiles_per_job * tiles.lanes, tiles.ring_bytes)
    return _taps(pattern, g, strip, tiles_per_job, step, room, span, bands, 1, kh, direct)


def grouped_backward_taps(
    pattern: Pattern, geometry: Geometry, tiles: Tiles, *, rings: int, dw: bool
) -> GroupedTaps:
    """Return the taps of dx and dW, which need so many ``rings`` together."""
    g, (kh, kw), (sy, sx) = geometry, geometry.kernel, geometry.stride
    strip, tiles_per_job = choose_grouped_strip(g.out_size[1], pattern.group, tiles)
    reach = (kw - 1) // sx
    span, bands = choose_jobs(
        g.out_size, strip, tiles_per_job, g.out_size[1] + strip, tiles.count, kh
    )
    bytes_ = max(tiles.bytes, tiles.ring_bytes)
    room = ring_room(span, reach, tiles_per_job * tiles.lanes, bytes_)
    room = max(room, (g.size[1] + g.padding[1] - 1) // sx + 1)
    rows = 1
    if dw:
        row = g.channels * sx * room * tiles_per_job * tiles.lanes * bytes_ * rings
        most = (_RING_PART * level_two_cache() / row - kh) // sy + 1
        rows = -(-_PIXELS // (g.out_size[1] * tiles_per_job))
        rows = int(max(1, min(rows, most, -(-g.out_size[0] // bands))))
    depth = max((rows - 1) * sy + kh, rows * sy)
    return _taps(pattern, g, strip, tiles_per_job, sx, room, span, bands, rows, depth, False)


def _taps(
    pattern: Pattern, g: Geometry, strip: int, tiles_per_job: int, step: int, room: int, span: int,
    bands: int, rows: int, depth: int, direct: bool,
) -> GroupedTaps:  # fmt: skip
    sizes = Sizes(
        g.channels, *g.size, g.filters, *g.out_size, down=g.stride[0], across=g.stride[1],
        rows=g.out_size[0], columns=g.out_size[1], top=g.padding[0], left=g.padding[1],
        skip_rows=1, skip_columns=1, step=step, room=room, depth=depth, span=span,
        tiles_per_job=tiles_per_job, bands=bands,
    )  # fmt: skip
    groups, (kh, kw) = pattern.groups, g.kernel
    per_filter = g.channels // g.groups
    channel, ky, kx = np.unravel_index(groups.indices, (per_filter, kh, kw))
    if g.groups > 1:
        first = groups.rows() * pattern.group // (g.filters // g.groups) * per_filter
        channel = channel + first
    pixel = ((channel * step + kx % g.stride[1]) * room + kx // g.stride[1]) * tiles_per_job
    codes = codes_of(ky, pixel, sizes)
    codes.setflags(write=False)
    return GroupedTaps(GroupIndex(codes, groups.indptr), sizes, strip, rows, kh, direct)


def choose_grouped_strip(width: int, group: int, tiles: Tiles) -> tuple[int, int]:
    """Choose the pixels of a strip, and of how many tiles they are.

    Sums of all filters of a group stay in registers. Narrow planes of several tiles are
    interleaved to fill a strip.
    """
    most = max(1, sums_bytes() // (group * tiles.bytes * tiles.lanes))
    pairs = [
        (n, per_job) for n in (16, 8, 4, 2, 1) if n <= most
        for per_job in (1, 2, 4, 8) if per_job == 1 or width * per_job <= n
    ]  # fmt: skip

    def cost(pair: tuple[int, int]) -> float:
        n, per_job = pair
        strips = -(-tiles.count // per_job) * -(-width * per_job // n)
        return strips * (n + most / 3)  # what each strip costs beside its arithmetic

    return min(pairs, key=cost)
