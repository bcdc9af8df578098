"""A small picture of a pattern for notebooks: weights counted in cells, never a full matrix."""

from __future__ import annotations

import base64
import struct
import zlib
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from sparsecpu.sparse.pattern import Pattern

#: Most cells along a side, pixels of the longer side on the page, and of the shorter one at least.
_CELLS, _PIXELS, _LEAST = 64, 96, 12
#: Blue, which shows on white and on black.
_COLOUR = (64, 128, 224)
#: Rows are counted together as long as they have so many nonzeros.
_AT_ONCE = 1 << 20


def counts(pattern: Pattern, cells: int = _CELLS) -> np.ndarray:
    """Return how many nonzeros are in each cell of a grid of at most ``cells`` a side, int64."""
    n_out, n_in = pattern.shape
    shape = min(n_out, cells), min(n_in, cells)
    found = np.zeros(shape[0] * shape[1], dtype=np.int64)
    start = 0
    while start < n_out:
        # At least a row, and as many as the limit holds.
        limit = int(pattern.indptr[start]) + _AT_ONCE
        stop = max(start + 1, int(np.searchsorted(pattern.indptr, limit, side="right")) - 1)
        stop = min(stop, n_out)
        fan_in = np.diff(pattern.indptr[start : stop + 1])
        row = np.repeat(np.arange(start, stop) * shape[0] // n_out, fan_in)
        column = pattern.indices[pattern.indptr[start] : pattern.indptr[stop]].astype(np.int64)
        cell = row * shape[1] + column * shape[1] // n_in
        found += np.bincount(cell, minlength=len(found))
        start = stop
    return found.reshape(shape)


def shares(pattern: Pattern, cells: int = _CELLS) -> np.ndarray:
    """Return the density of each cell of the same grid."""
    found = counts(pattern, cells)
    sizes = [
        np.bincount(np.arange(n) * side // n, minlength=side)
        for n, side in zip(pattern.shape, found.shape, strict=True)
    ]
    return found / np.outer(*sizes)


def image(pattern: Pattern) -> str:
    """Return an ``img`` element with a picture of a pattern: the darker, the denser."""
    found = shares(pattern)
    rows, columns = found.shape
    pixels = np.empty((rows, columns, 4), dtype=np.uint8)
    pixels[..., :3] = _COLOUR
    pixels[..., 3] = np.rint(255 * np.sqrt(found / max(found.max(), 1e-9)))
    longer = max(pattern.shape)
    height, width = (max(_LEAST, round(_PIXELS * n / longer)) for n in pattern.shape)
    source = base64.b64encode(_png(pixels)).decode()
    shape = " x ".join(map(str, pattern.shape))
    return (
        f'<img alt="weights of a {shape} matrix" src="data:image/png;base64,{source}" '
        f'style="width:{width}px;height:{height}px;image-rendering:pixelated;'
        'border:1px solid gray;background:none;margin:2px">'
    )


def _png(pixels: np.ndarray) -> bytes:
    """Return an image of 8 bits for red, green, blue and opacity as a PNG file."""
    height, width, _ = pixels.shape
    lines = b"".join(b"\0" + line.tobytes() for line in pixels)
    header = struct.pack(">IIBBBBB", width, height, 8, 6, 0, 0, 0)
    parts = ((b"IHDR", header), (b"IDAT", zlib.compress(lines, 9)), (b"IEND", b""))
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
        for kind, data in parts
    )
