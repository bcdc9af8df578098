"""Digits of 28×28 pixels, any number of them, made from the bundled ones.

A training sample is a digit of ``digits``' training part under a random affine map and a random
elastic one; a test sample is a held-out digit as it is. Sample i depends on the seed and i alone,
so any number of samples can be streamed, and no held-out digit is ever seen in training.
"""

from __future__ import annotations

import numpy as np

from sparsecpu.datasets.base import Dataset, checked_count
from sparsecpu.datasets.bundled import load_digits
from sparsecpu.step.samples import Samples

SIDE = 28
_GRID = 5  # control points of the elastic map, per axis
_DRAWS = 8 + 2 * _GRID * _GRID  # random numbers per sample
#: Samples beyond this many bytes are made again each time they are used.
_KEEP_BYTES = 256 * 1024**2


def _uniform(keys: np.ndarray) -> np.ndarray:
    """Return a number in [0, 1) for each 64-bit key (splitmix64)."""
    z = keys * np.uint64(0x9E3779B97F4A7C15)
    z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return ((z ^ (z >> np.uint64(31))) >> np.uint64(40)).astype(np.float32) / np.float32(1 << 24)


def _enlarge(images: np.ndarray) -> np.ndarray:
    """Return 8×8 images (0 to 16) as 28×28 images (0 to 255) with a border of two pixels."""
    from scipy.ndimage import zoom

    inner = SIDE - 4
    factor = inner / 8
    large = zoom(images, (1, factor, factor), order=3, mode="grid-constant", grid_mode=True)
    large = np.clip(large * (255 / 16), 0, 255)
    return np.pad(large, ((0, 0), (2, 2), (2, 2))).astype(np.float32)


class VariedDigits(Samples):
    """Training samples, made when they are needed: ``digits`` of shape (n, 28, 28), varied."""

    def __init__(self, digits: np.ndarray, samples: int, seed: int = 0) -> None:
        self.digits, self.seed = digits, seed
        self.shape = (samples, SIDE * SIDE)
        hats = 1 - np.abs(np.linspace(0, _GRID - 1, SIDE)[:, None] - np.arange(_GRID))
        axis = np.maximum(hats, 0).astype(np.float32)  # (28, grid): linear interpolation
        self._elastic = np.einsum("yi,xj->ijyx", axis, axis).reshape(_GRID * _GRID, -1)

    def take_samples(self, rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        return self.make(np.asarray(rows)), np.arange(len(rows), dtype=np.int64)

    def make(self, rows: np.ndarray) -> np.ndarray:
        """Return the pixels of some samples, uint8 of shape (len(rows), 784)."""
        n = len(rows)
        keys = rows.astype(np.uint64)[:, None] * np.uint64(_DRAWS) + np.arange(
            _DRAWS, dtype=np.uint64
        )
        keys += np.uint64(self.seed) << np.uint64(40)
        u = 2 * _uniform(keys + np.uint64(1)) - 1  # (n, draws) in [-1, 1)
        angle, shear = u[:, 0] * np.deg2rad(12), u[:, 1] * 0.15
        zoom_x, zoom_y = 1 + 0.12 * u[:, 2], 1 + 0.12 * u[:, 3]
        shift_x, shift_y = 1.5 * u[:, 4], 1.5 * u[:, 5]
        centre = (SIDE - 1) / 2
        gy, gx = np.mgrid[:SIDE, :SIDE].reshape(2, -1).astype(np.float32) - centre
        cos, sin = np.cos(angle), np.sin(angle)
        bend = 1.0 * (u[:, 8:].reshape(n, 2, -1) @ self._elastic)
        x = (cos / zoom_x)[:, None] * gx + (shear - sin)[:, None] * gy
        y = sin[:, None] * gx + (cos / zoom_y)[:, None] * gy
        x += shift_x[:, None] + centre + bend[:, 0]
        y += shift_y[:, None] + centre + bend[:, 1]
        return self._sample(rows % len(self.digits), x, y)

    def _sample(self, which: np.ndarray, x: np.ndarray, y: np.ndarray) -> np.ndarray:
        """Read digits at fractional positions, bilinearly; outside is black."""
        np.clip(x, 0, SIDE - 1.001, out=x)  # the border of every digit is black
        np.clip(y, 0, SIDE - 1.001, out=y)
        x0, y0 = x.astype(np.int32), y.astype(np.int32)
        fx, fy = x - x0, y - y0
        flat = self.digits.reshape(-1)
        at = which[:, None] * (SIDE * SIDE) + y0 * SIDE + x0
        top = flat[at] * (1 - fx) + flat[at + 1] * fx
        bottom = flat[at + SIDE] * (1 - fx) + flat[at + SIDE + 1] * fx
        return np.rint(top * (1 - fy) + bottom * fy).astype(np.uint8)


def load_digits28(samples: int | None = None, seed: int = 0) -> Dataset:
    """Make digits of 28×28 pixels, with 360 test samples.

    Parameters
    ----------
    samples : int, optional
        Training samples; 20,000 by default. Above about 340,000 they are made again in every epoch
        instead of being kept.
    seed : int
        Seed of the variations.

    Raises
    ------
    DataError
        If ``samples`` is below 10.
    """
    samples = checked_count(samples, 20_000)
    small = load_digits()
    varied = VariedDigits(_enlarge(small.x_train.reshape(-1, 8, 8)), samples, seed)
    rows = np.arange(samples)
    labels = small.y_train[rows % len(small.y_train)]
    x: np.ndarray | VariedDigits = varied
    if samples * SIDE * SIDE <= _KEEP_BYTES:
        x = np.concatenate([varied.make(part) for part in np.array_split(rows, samples // 128 + 1)])
    test = np.rint(_enlarge(small.x_test.reshape(-1, 8, 8))).astype(np.uint8)
    return Dataset(
        "digits28", "classification", x, labels, test.reshape(len(test), -1), small.y_test,
        small.classes, input_shape=(SIDE * SIDE,), scaling="global",
    )  # fmt: skip
