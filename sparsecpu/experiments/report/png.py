"""Small pictures of samples, as PNG in the text of a page."""

from __future__ import annotations

import base64
import struct
import zlib

import numpy as np

#: Pixels on a side; larger pictures are shown with every second pixel, or fewer.
_SIDE = 64


def picture_of(pixels: np.ndarray) -> str:
    """Return an address that holds a picture: bytes of shape (height, width) or (…, 3)."""
    step = -(-max(pixels.shape[:2]) // _SIDE)
    pixels = np.ascontiguousarray(pixels[::step, ::step])
    high, wide = pixels.shape[:2]
    colour = 2 if pixels.ndim == 3 else 0
    rows = b"".join(b"\0" + row.tobytes() for row in pixels)
    content = b"\x89PNG\r\n\x1a\n"
    content += _part(b"IHDR", struct.pack(">IIBBBBB", wide, high, 8, colour, 0, 0, 0))
    content += _part(b"IDAT", zlib.compress(rows, 9)) + _part(b"IEND", b"")
    return "data:image/png;base64," + base64.b64encode(content).decode("ascii")


def _part(kind: bytes, content: bytes) -> bytes:
    check = struct.pack(">I", zlib.crc32(kind + content))
    return struct.pack(">I", len(content)) + kind + content + check


def as_bytes(samples: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    """Return flat samples as bytes of shape (samples, height, width) or (…, 3).

    They share one scale, from the least to the largest value of them all.
    """
    images = samples.reshape(len(samples), *((1, *shape) if len(shape) == 2 else shape))
    if images.shape[1] not in (1, 3):
        images = images.mean(axis=1, keepdims=True)
    low, high = float(images.min(initial=0)), float(images.max(initial=0))
    scaled = (images.astype(np.float64) - low) * (255.0 / ((high - low) or 1.0))
    images = np.rint(scaled).astype(np.uint8).transpose(0, 2, 3, 1)
    return images[..., 0] if images.shape[3] == 1 else images
