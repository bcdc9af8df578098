"""How a convolution's work is cut: strips of pixels, spans of columns, bands of rows, blocks.

A strip is what the registers hold, a span what the ring of rows in the level-2 cache has room for,
a block of channels what the level-1 cache holds of a strip's part of the ring. Small planes of
several tiles may be interleaved, pixel by pixel, to fill a strip. ``taps.py`` uses the result.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np

from sparsecpu.kernels.machine.cpu import (
    level_one_cache,
    level_two_cache,
    near_level_three,
    widest_lanes,
)

#: Time per pixel of a strip so many pixels wide, relative to the widest, at 16 lanes; a little more
#: than it takes, for each width takes seconds to compile.
_STRIP_COST = {1: 2.2, 2: 1.6, 4: 1.35, 8: 1.0, 16: 1.02}
#: Taps that an output should have in a block for each strip that waits from block to block, so that
#: blocks pay.
_TAPS_PER_WAIT = 16
#: Part of the level-2 cache that the ring may take.
_RING_PART = 0.5
#: The same while a strip is chosen, which a ring of one strip at least must fit.
_STRIP_PART = 0.6
#: Bytes of level 3 that it may take instead, where that is near. On a CPU with 1 MiB of level 2,
#: rings of whole rows were faster than narrower ones at any size (of 3.3 MB for 512 channels,
#: 32 x 32: 48 ms became 42).
_MOST_NEAR = 4 * 1024**2
#: A ring of interleaved tiles may be so many times as large as that.
_INTERLEAVED = 1.6
#: Strips of up to so many numbers add up their taps two by two, wider ones one by one
#: (``kernels.conv.tap_sums``): another order.
_PAIRED = 64
#: Jobs that a batch should make at least, for threads to share.
LEAST_JOBS = 8
#: A block may be so many times as large as the level-1 cache; the next cache helps out.
_BLOCK_SIZE = 1.3


class Tiles(NamedTuple):
    """The tiles of a batch, and the bytes of their numbers in registers and in the ring.

    Where ``alike``, sums have the order that they have in a tile by itself, however many there are.
    ``most`` is how many a full batch has: fewer, at the end of an epoch, are cut as these would be,
    so that no kernels have to be compiled for them alone.
    """

    number: int
    lanes: int
    bytes: int = 4
    ring_bytes: int = 4
    alike: bool = False
    most: int = 0

    def by_itself(self) -> Tiles:
        """Return one tile of them."""
        return self._replace(number=1, alike=False, most=0)


class Ring(NamedTuple):
    """What a ring must hold for one direction of a convolution.

    ``step`` columns of a channel that lie apart in the planes are side by side; ``reach`` is how
    many pixels more than its own a strip reads in a row; ``strips_held`` strips are in registers
    at once.
    """

    channels: int
    rows: int
    step: int
    reach: int
    strips_held: int

    def column_bytes(self, tiles: Tiles) -> int:
        """Return the bytes of one column of outputs, of one tile."""
        return self.rows * self.channels * self.step * tiles.lanes * tiles.ring_bytes

    def channel_bytes(self, strip: int, tiles_per_job: int, tiles: Tiles) -> int:
        """Return the bytes of one channel that a strip reads."""
        pixels = strip + self.reach * tiles_per_job
        return self.rows * self.step * pixels * tiles.lanes * tiles.ring_bytes


class Cut(NamedTuple):
    """How the work is cut; ``room`` is how many neighbouring pixels of a row the ring holds.

    If ``direct``, strips read the rows of planes where they lie instead of a ring.
    """

    strip: int
    tiles_per_job: int
    span: int
    bands: int
    room: int
    direct: bool


def ring_bytes(part: float) -> float:
    """Return the bytes that a ring may take: a part of level 2, or what is near beyond it."""
    return max(part * level_two_cache(), min(_MOST_NEAR, near_level_three()))


def cut_work(ring: Ring, outputs: tuple[int, int], tiles: Tiles, direct: bool) -> Cut:
    """Cut a convolution with these rows and columns of outputs; read directly where it pays."""
    width = outputs[1]
    strip, tiles_per_job = choose_strip(width, ring, tiles)
    whole = [n for n in (8, 4) if width % n == 0 and n <= strip] if direct else []
    if whole:
        span, bands = choose_jobs(outputs, whole[0], 1, width, tiles.number, ring.rows)
        return Cut(whole[0], 1, span, bands, width, direct=True)
    column = ring.column_bytes(tiles) * tiles_per_job
    most = ring_bytes(_RING_PART) / column - ring.reach
    span, bands = choose_jobs(outputs, strip, tiles_per_job, most, tiles.number, ring.rows)
    room = ring_room(span, ring.reach, tiles_per_job * tiles.lanes, tiles.ring_bytes)
    return Cut(strip, tiles_per_job, span, bands, room, direct=False)


def choose_strip(width: int, ring: Ring, tiles: Tiles) -> tuple[int, int]:
    """Choose the pixels of a strip, 1 to 16, and of how many tiles they are.

    Sums stay in registers and, if possible, the ring in the level-2 cache; rows of ``width``
    outputs should fill their strips.
    """
    lanes, reach = tiles.lanes, ring.reach
    numbers = widest_lanes()  # in the registers that hold strips
    most = (2 // ring.strips_held * numbers if numbers == 128 else numbers) * 4 // tiles.bytes
    options = [n for n in _STRIP_COST if n * lanes <= most] or [1]
    room = _STRIP_PART * level_two_cache() / ring.column_bytes(tiles)
    fitting = [n for n in options if n + reach <= room] or options[: max(1, len(options) - 2)]
    pairs = [
        (n, per_job) for n in fitting for per_job in (1, 2, 4, 8)
        if per_job == 1 or (width * per_job <= n and n + reach * per_job <= _INTERLEAVED * room)
    ]  # fmt: skip
    if tiles.alike:
        paired = choose_strip(width, ring, tiles.by_itself())[0] * lanes <= _PAIRED
        pairs = [(n, per_job) for n, per_job in pairs if (n * lanes <= _PAIRED) == paired]

    def cost(pair: tuple[int, int]) -> float:
        n, per_job = pair
        strips = max(1, max(tiles.number, tiles.most) / per_job) * -(-width * per_job // n)
        return strips * n * _STRIP_COST[min(16, n * (lanes // 16))]

    return min(pairs, key=cost)


def choose_span(width: int, strip: int, most: float) -> int:
    """Choose the columns of a job, whole strips: whole rows, unless ``most`` has not the room.

    Memory gives out whole rows faster.
    """
    strips = -(-width // strip)
    spans = min(strips, -(-strips // max(1, int(most // strip))))
    return -(-strips // spans) * strip


def choose_jobs(
    outputs: tuple[int, int], strip: int, tiles_per_job: int, most: float, tiles: int, depth: int
) -> tuple[int, int]:
    """Choose the columns of a job, and into how many bands rows fall.

    Bands rather than narrower spans make jobs of few tiles: whole rows are read and written in the
    order of memory. All but one of the ring's ``depth`` rows are packed once more for each band.
    """
    rows, width = outputs
    span = choose_span(width, strip // tiles_per_job, most)
    jobs = -(-tiles // tiles_per_job) * -(-width // span)
    bands = rows
    if tiles_per_job == 1 and depth > 1:
        bands = min(bands, max(2, bands // (2 * depth - 2)))
    return span, min(bands, -(-LEAST_JOBS // jobs))


def ring_room(span: int, reach: int, numbers: int, ring_bytes: int) -> int:
    """Return ``span + reach`` pixels of a channel, or a few more.

    One pixel is ``numbers`` numbers. At the distance between channels that follows, not all of them
    fall on the same sets of the cache.
    """
    room, lines = span + reach, max(1, numbers * ring_bytes // 64)
    while math.gcd(room * numbers * ring_bytes // 64, 64) > max(4, lines):
        room += 1
    return room


def choose_blocks(ring: Ring, channel_bytes: int, taps: float, groups: int) -> int:
    """Choose into how many blocks of channels the taps of an output, on average, fall.

    Groups of channels, which do not mix, are blocks by themselves.
    """
    if groups > 1:
        return 1
    small = ring.channels * channel_bytes / (_BLOCK_SIZE * level_one_cache())
    return int(max(1, min(np.ceil(small), taps // (_TAPS_PER_WAIT * ring.strips_held))))
