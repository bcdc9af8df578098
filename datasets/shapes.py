"""Pictures of ten shapes, 32×32 in colour, made to need more than a linear model.

The colours of shape and background are drawn alike, so that no pixel's brightness says anything;
the shape is shifted, scaled and turned; strokes and dots in other colours lie around it, and there
is noise. Sample i depends on the seed and i alone.
"""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import numpy as np

from sparsecpu.datasets.base import Dataset, checked_count
from sparsecpu.kernels.machine.cores import allowed_cores

SIDE = 32
_GROUP = 256  # samples that share a stream of random numbers
_TEST = 1000
_STROKES, _DOTS = 1, 2


def _plus(u: np.ndarray, v: np.ndarray) -> np.ndarray:
    return ((np.abs(u) < 0.28) | (np.abs(v) < 0.28)) & (_square_radius(u, v) < 1)


def _x(u: np.ndarray, v: np.ndarray) -> np.ndarray:
    return _plus((u + v) * np.sqrt(0.5), (u - v) * np.sqrt(0.5))


def _ring(u: np.ndarray, v: np.ndarray) -> np.ndarray:
    r = np.hypot(u, v)
    return (r > 0.55) & (r < 1)


def _frame(u: np.ndarray, v: np.ndarray) -> np.ndarray:
    r = _square_radius(u, v)
    return (r > 0.5) & (r < 0.88)


def _square_radius(u: np.ndarray, v: np.ndarray) -> np.ndarray:
    return np.maximum(np.abs(u), np.abs(v))


#: The classes in order, and which points (u, v) lie within a shape of about radius 1.
SHAPES: dict[str, Callable[[np.ndarray, np.ndarray], np.ndarray]] = {
    "disc": lambda u, v: np.hypot(u, v) < 0.95,
    "square": lambda u, v: _square_radius(u, v) < 0.85,
    "triangle": lambda u, v: (v < 0.75) & (np.abs(u) < 0.62 * (v + 1)),
    "ring": _ring,
    "plus": _plus,
    "x": _x,
    "diamond": lambda u, v: np.abs(u) / 0.6 + np.abs(v) / 1.1 < 1,
    "crescent": lambda u, v: (np.hypot(u, v) < 1) & (np.hypot(u - 0.55, v) > 0.8),
    "star": lambda u, v: np.hypot(u, v) < 0.62 + 0.38 * np.cos(5 * np.arctan2(u, -v)),
    "frame": _frame,
}


class Shapes:
    """Samples of shape (3, 32, 32), flattened; everything random in them comes from the seed."""

    def __init__(self, samples: int, seed: int = 0) -> None:
        self.shape, self.seed = (samples, 3 * SIDE * SIDE), seed

    def labels(self) -> np.ndarray:
        """Return the class number of every sample, int64."""
        return np.arange(self.shape[0], dtype=np.int64) % len(SHAPES)

    def group(self, number: int) -> np.ndarray:
        """Return the pixels of a group of samples, uint8 of shape (samples, 3072)."""
        first = number * _GROUP
        count = min(_GROUP, self.shape[0] - first)
        rng = np.random.default_rng([self.seed, number])
        y, x = np.mgrid[:SIDE, :SIDE].astype(np.float32)
        ground, ink = self._colours(rng)
        tilt = rng.uniform(-20, 20, (_GROUP, 3, 2, 1, 1))
        image = ground[..., None, None] + tilt[:, :, 0] * (x / SIDE - 0.5)
        image += tilt[:, :, 1] * (y / SIDE - 0.5)
        for _ in range(_STROKES):  # behind the shape
            self._stroke(rng, image, x, y)
        centre, size = rng.uniform(12, 19, (_GROUP, 2, 1, 1)), rng.uniform(7.5, 11, (_GROUP, 1, 1))
        angle = rng.uniform(-0.35, 0.35, (_GROUP, 1, 1))
        dx, dy = (x - centre[:, 0]) / size, (y - centre[:, 1]) / size
        u = np.cos(angle) * dx + np.sin(angle) * dy
        v = np.cos(angle) * dy - np.sin(angle) * dx
        kinds = (first + np.arange(_GROUP)) % len(SHAPES)
        for kind, is_inside in enumerate(SHAPES.values()):
            at = kinds == kind
            inside = is_inside(u[at], v[at])[:, None]
            image[at] = np.where(inside, ink[at][..., None, None], image[at])
        for _ in range(_DOTS):  # in front of it
            dot = rng.uniform(0, SIDE, (_GROUP, 2, 1, 1))
            colour = rng.uniform(0, 255, (_GROUP, 3))[..., None, None]
            near = np.hypot(x - dot[:, 0], y - dot[:, 1]) < rng.uniform(0.8, 2.0, (_GROUP, 1, 1))
            np.copyto(image, colour, where=near[:, None])
        image += rng.normal(0, 10, image.shape)
        return np.clip(np.rint(image), 0, 255).astype(np.uint8).reshape(_GROUP, -1)[:count]

    @staticmethod
    def _colours(rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
        """Draw two colours per sample that can be told apart, each as often as the other."""
        first = rng.uniform(20, 235, (_GROUP, 3))
        step = rng.normal(size=(_GROUP, 3))
        step *= rng.uniform(130, 220, (_GROUP, 1)) / np.linalg.norm(step, axis=1, keepdims=True)
        second = np.clip(first + step, 0, 255)
        swap = rng.random((_GROUP, 1)) < 0.5
        return np.where(swap, second, first), np.where(swap, first, second)

    @staticmethod
    def _stroke(rng, image: np.ndarray, x: np.ndarray, y: np.ndarray) -> None:
        angle, offset = rng.uniform(0, np.pi, (_GROUP, 1, 1)), rng.uniform(-14, 14, (_GROUP, 1, 1))
        along = np.cos(angle) * (x - SIDE / 2) + np.sin(angle) * (y - SIDE / 2)
        near = np.abs(along - offset) < rng.uniform(0.5, 1.3, (_GROUP, 1, 1))
        colour = rng.uniform(0, 255, (_GROUP, 3, 1, 1))
        np.copyto(image, colour, where=near[:, None])

    def make(self) -> np.ndarray:
        """Return the pixels of all samples, uint8 of shape (samples, 3072)."""
        pixels = np.empty(self.shape, dtype=np.uint8)

        def fill(number: int) -> None:
            first = number * _GROUP
            pixels[first : first + _GROUP] = self.group(number)

        with ThreadPoolExecutor(allowed_cores().count) as pool:
            for _ in pool.map(fill, range(-(-self.shape[0] // _GROUP))):
                pass  # hears of errors
        return pixels


def make_shapes(samples: int | None = None, seed: int = 0) -> Dataset:
    """Make pictures of ten shapes, with 1,000 test samples of their own.

    Parameters
    ----------
    samples : int, optional
        Training samples; 10,000 by default.
    seed : int
        Seed of everything random in them.

    Raises
    ------
    DataError
        If ``samples`` is below 10.
    """
    samples = checked_count(samples, 10_000)
    train, test = Shapes(samples, 2 * seed), Shapes(_TEST, 2 * seed + 1)
    return Dataset(
        "make:shapes", "classification", train.make(), train.labels(), test.make(), test.labels(),
        np.array(list(SHAPES)), input_shape=(3, SIDE, SIDE), scaling="channel",
    )  # fmt: skip
