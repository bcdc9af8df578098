"""Pictures of ten shapes, 32×32 in colour, made to need more than a linear model.

Colours of shape and background are drawn alike, so that no pixel's brightness tells anything; the
shape is shifted, scaled and turned; strokes and dots in other colours lie around, and there is
noise. Sample i is a function of the seed and i alone.
"""

from __future__ import annotations

import numpy as np

from sparsecpu.datasets.base import Dataset
from sparsecpu.errors import DataError

SIDE = 32
#: Names of the classes, in order.
SHAPES = ("disc", "square", "triangle", "ring", "plus", "x", "diamond", "crescent", "star", "frame")
_RUN = 256  # samples that share a stream of random numbers
_TEST = 1000
_STROKES, _DOTS = 1, 2


def _inside(shape: int, u: np.ndarray, v: np.ndarray) -> np.ndarray:
    """Return which places lie in a shape of about radius 1."""
    r, square = np.hypot(u, v), np.maximum(np.abs(u), np.abs(v))
    if shape == 0:
        return r < 0.95
    if shape == 1:
        return square < 0.85
    if shape == 2:
        return (v < 0.75) & (np.abs(u) < 0.62 * (v + 1))
    if shape == 3:
        return (r > 0.55) & (r < 1)
    if shape in (4, 5):
        if shape == 5:
            u, v = (u + v) * np.sqrt(0.5), (u - v) * np.sqrt(0.5)
        return ((np.abs(u) < 0.28) | (np.abs(v) < 0.28)) & (np.maximum(np.abs(u), np.abs(v)) < 1)
    if shape == 6:
        return np.abs(u) / 0.6 + np.abs(v) / 1.1 < 1
    if shape == 7:
        return (r < 1) & (np.hypot(u - 0.55, v) > 0.8)
    if shape == 8:
        return r < 0.62 + 0.38 * np.cos(5 * np.arctan2(u, -v))
    return (square > 0.5) & (square < 0.88)


class Shapes:
    """Samples, made on demand.

    Parameters
    ----------
    samples : int
        How many there are.
    seed : int
        Of everything random in them.

    Attributes
    ----------
    shape : tuple of ints
        ``(samples, 3072)``: channel, row, column.
    """

    def __init__(self, samples: int, seed: int = 0) -> None:
        self.shape, self.seed = (samples, 3 * SIDE * SIDE), seed

    def labels(self) -> np.ndarray:
        """Return the class number of every sample, int64."""
        return np.arange(self.shape[0], dtype=np.int64) % len(SHAPES)

    def run(self, number: int) -> np.ndarray:
        """Return one run of samples.

        Parameters
        ----------
        number : int
            Which one, from 0.

        Returns
        -------
        ndarray of uint8, shape (samples of the run, 3072)
            Their pixels.
        """
        first = number * _RUN
        count = min(_RUN, self.shape[0] - first)
        rng = np.random.default_rng([self.seed, number])
        y, x = np.mgrid[:SIDE, :SIDE].astype(np.float32)
        ground, ink = self._colours(rng)
        tilt = rng.uniform(-20, 20, (_RUN, 3, 2, 1, 1))
        image = ground[..., None, None] + tilt[:, :, 0] * (x / SIDE - 0.5)
        image += tilt[:, :, 1] * (y / SIDE - 0.5)
        for _ in range(_STROKES):  # behind the shape
            self._stroke(rng, image, x, y)
        centre, size = rng.uniform(12, 19, (_RUN, 2, 1, 1)), rng.uniform(7.5, 11, (_RUN, 1, 1))
        angle = rng.uniform(-0.35, 0.35, (_RUN, 1, 1))
        dx, dy = (x - centre[:, 0]) / size, (y - centre[:, 1]) / size
        u = np.cos(angle) * dx + np.sin(angle) * dy
        v = np.cos(angle) * dy - np.sin(angle) * dx
        kinds = (first + np.arange(_RUN)) % len(SHAPES)
        for kind in range(len(SHAPES)):
            mine = kinds == kind
            inside = _inside(kind, u[mine], v[mine])[:, None]
            image[mine] = np.where(inside, ink[mine][..., None, None], image[mine])
        for _ in range(_DOTS):  # and before it
            spot, colour = rng.uniform(0, SIDE, (_RUN, 2, 1, 1)), rng.uniform(0, 255, (_RUN, 3))
            near = np.hypot(x - spot[:, 0], y - spot[:, 1]) < rng.uniform(0.8, 2.0, (_RUN, 1, 1))
            image = np.where(near[:, None], colour[..., None, None], image)
        image += rng.normal(0, 10, image.shape)
        return np.clip(np.rint(image), 0, 255).astype(np.uint8).reshape(_RUN, -1)[:count]

    @staticmethod
    def _colours(rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
        """Draw two colours per sample that can be told apart, each as often as the other."""
        first = rng.uniform(20, 235, (_RUN, 3))
        step = rng.normal(size=(_RUN, 3))
        step *= rng.uniform(130, 220, (_RUN, 1)) / np.linalg.norm(step, axis=1, keepdims=True)
        second = np.clip(first + step, 0, 255)
        swap = rng.random((_RUN, 1)) < 0.5
        return np.where(swap, second, first), np.where(swap, first, second)

    @staticmethod
    def _stroke(rng, image: np.ndarray, x: np.ndarray, y: np.ndarray) -> None:
        angle, offset = rng.uniform(0, np.pi, (_RUN, 1, 1)), rng.uniform(-14, 14, (_RUN, 1, 1))
        along = np.cos(angle) * (x - SIDE / 2) + np.sin(angle) * (y - SIDE / 2)
        near = np.abs(along - offset) < rng.uniform(0.5, 1.3, (_RUN, 1, 1))
        colour = rng.uniform(0, 255, (_RUN, 3, 1, 1))
        np.copyto(image, colour, where=near[:, None])

    def make(self) -> np.ndarray:
        """Return the pixels of all samples, uint8, shape (samples, 3072)."""
        return np.concatenate([self.run(n) for n in range(-(-self.shape[0] // _RUN))])


def make_shapes(samples: int | None = None, seed: int = 0) -> Dataset:
    """Make the data set.

    Parameters
    ----------
    samples : int, optional
        Training samples; 10,000 by default.
    seed : int
        Of everything random in them.

    Returns
    -------
    Dataset
        With 1,000 test samples of their own.

    Raises
    ------
    DataError
        If ``samples`` is below 10.
    """
    samples = 10_000 if samples is None else samples
    if samples < 10:
        raise DataError(f"samples is {samples}; expected at least 10")
    train, test = Shapes(samples, 2 * seed), Shapes(_TEST, 2 * seed + 1)
    return Dataset(
        "make:shapes", "classification", train.make(), train.labels(), test.make(), test.labels(),
        np.array(SHAPES), input_shape=(3, SIDE, SIDE), scaling="channel",
    )  # fmt: skip
