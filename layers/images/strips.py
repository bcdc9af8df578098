"""How a convolution's work is cut: strips of pixels, chunks of columns, bands of rows, blocks.

A strip is what the registers hold, a chunk what the ring of rows in the level-2 cache has room for,
a block of channels what the level-1 cache holds of a strip's part of the ring. Small planes of
several tiles may stand *abreast* in a strip. ``taps.py`` says what becomes of it.
"""

from __future__ import annotations

import math

import numpy as np

from sparsecpu.kernels.machine.cpu import level_one_cache, level_two_cache, widest_lanes

#: Time per pixel of a strip so many pixels wide, relative to the widest, at 16 lanes; a little more
#: than it takes, for each width takes seconds to compile.
_STRIP_COST = {1: 2.2, 2: 1.6, 4: 1.35, 8: 1.0, 16: 1.02}
#: Taps that an output should have in a block for each strip that waits from block to block, so that
#: blocks pay.
_WORTH_WAITING = 16
#: The ring may take this part of the level-2 cache.
RING = 0.5
#: That of several tiles abreast may be so many times as large as a strip alone would like.
_TEAM = 1.6
#: Jobs that a batch should make at least, for threads to share.
JOBS = 8
#: A block may be so many times as large as the level-1 cache; the next cache helps out.
_BEYOND = 1.3


def choose_strip(
    width: int, channels: int, rows: int, reach: int, lanes: int, bytes_: int, ring_bytes: int,
    tiles: int, sets: int = 1,
) -> tuple[int, int]:  # fmt: skip
    """Choose how many pixels are computed at once, and of how many tiles.

    Parameters
    ----------
    width : int
        Of the output, in pixels.
    channels, rows, reach : int
        Of the ring: channels, rows, and the pixels that it has beside the strip's.
    lanes : int
        Samples per tile.
    bytes_, ring_bytes : int
        Bytes per number, in registers and in the ring.
    tiles : int
        Of a batch.
    sets : int
        Strips that are in registers at once.

    Returns
    -------
    strip : int
        1, 2, 4, 8 or 16, as long as the sums stay in registers and, if possible, the ring in the
        level-2 cache.
    abreast : int
        Tiles whose pixels stand side by side, at most as many as ``strip``.
    """
    most = (2 // sets * widest_lanes() if widest_lanes() == 128 else widest_lanes()) * 4 // bytes_
    options = [n for n in _STRIP_COST if n * lanes <= most] or [1]
    room = 0.6 * level_two_cache() / (rows * channels * lanes * ring_bytes)
    fitting = [n for n in options if n + reach <= room] or options[: max(1, len(options) - 2)]
    factor = lanes // 16
    pairs = [
        (n, a) for n in fitting for a in (1, 2, 4, 8)
        if a == 1 or (width * a <= n and n + reach * a <= _TEAM * room)
    ]  # fmt: skip

    def cost(pair: tuple[int, int]) -> float:
        n, a = pair
        return max(1, tiles / a) * -(-width * a // n) * n * _STRIP_COST[min(16, n * factor)]

    return min(pairs, key=cost)


def choose_chunk(width: int, strip: int, most: float) -> int:
    """Choose how many columns a job has: whole rows if possible, which memory gives out faster.

    Parameters
    ----------
    width : int
        Of the output, in pixels.
    strip : int
        Pixels that are computed at once.
    most : float
        Columns that the ring has room for.

    Returns
    -------
    int
        A multiple of ``strip``.
    """
    strips = -(-width // strip)
    chunks = min(strips, -(-strips // max(1, int(most // strip))))
    return -(-strips // chunks) * strip


def choose_jobs(
    size: tuple[int, int], strip: int, abreast: int, most: float, tiles: int, depth: int
) -> tuple[int, int]:
    """Choose the columns of a job, and into how many bands rows fall.

    Bands rather than narrower chunks make jobs of few tiles: whole rows are read and written in the
    order of memory.

    Parameters
    ----------
    size : tuple of two ints
        Rows and columns of the output.
    strip, abreast : int
        Pixels that are computed at once, and of how many tiles.
    most : float
        Columns that the ring has room for.
    tiles : int
        Of a batch.
    depth : int
        Rows of the ring: all but one are packed once more for each further band.

    Returns
    -------
    chunk : int
        Columns; ``strip`` divides its pixels.
    bands : int
        Bands of rows.
    """
    chunk = choose_chunk(size[1], strip // abreast, most)
    jobs = -(-tiles // abreast) * -(-size[1] // chunk)
    bands = size[0]
    if abreast == 1 and depth > 1:
        bands = min(bands, max(2, bands // (2 * depth - 2)))
    return chunk, min(bands, -(-JOBS // jobs))


def ring_room(chunk: int, reach: int, numbers: int, ring_bytes: int) -> int:
    """Return the pixels of a channel in the ring: no distance that maps all channels alike.

    Parameters
    ----------
    chunk, reach : int
        Columns of a job, and the pixels that the ring has beside them.
    numbers : int
        How many stand for one pixel, those of all tiles abreast.
    ring_bytes : int
        Bytes per number.

    Returns
    -------
    int
        At least ``chunk + reach``.
    """
    room, lines = chunk + reach, max(1, numbers * ring_bytes // 64)
    while math.gcd(room * numbers * ring_bytes // 64, 64) > max(4, lines):
        room += 1
    return room


def choose_blocks(channels: int, bytes_: int, taps: float, groups: int, sets: int = 1) -> int:
    """Choose into how many blocks of channels the taps of an output fall.

    Parameters
    ----------
    channels : int
        Channels that are read.
    bytes_ : int
        Bytes of one channel in the ring.
    taps : float
        Taps of an output, on average.
    groups : int
        Groups of channels that do not mix: more than one are blocks by themselves.
    sets : int
        Strips of an output that wait from block to block.

    Returns
    -------
    int
        At least 1.
    """
    if groups > 1:
        return 1
    small = channels * bytes_ / (_BEYOND * level_one_cache())
    return int(max(1, min(np.ceil(small), taps // (_WORTH_WAITING * sets))))
