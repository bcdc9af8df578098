"""Images that are varied anew each time they are used in training."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np

from sparsecpu.errors import ParameterError
from sparsecpu.registries import Registry

#: Most that an affine map turns (degrees) and resizes (one plus or minus), and shifts (of a side).
_TURN, _RESIZE, _SHIFT = 15.0, 0.1, 0.1


class AugmentedSamples:
    """Samples whose images, ``(channels, height, width)``, are varied at random, batch after batch.

    ``crop`` shifts by up to ``padding`` pixels each way; pixels beyond the edge are reflected.
    ``affine`` turns by up to 15 degrees, resizes by up to a tenth and shifts by up to a tenth of a
    side, between pixels linearly. ``flip`` also mirrors every other image, left to right.

    Notes
    -----
    He et al., Deep residual learning (2016), section 4.2, pads with zeros; Zagoruyko & Komodakis,
    Wide residual networks (2016), section 3, reflects.
    """

    def __init__(
        self,
        samples: Any,
        image_shape: tuple[int, ...],
        kind: str,
        rng: np.random.Generator,
        padding: int = 4,
    ) -> None:
        kind = AUGMENTATIONS.name_of(kind)
        if len(image_shape) != 3 or min(image_shape[1:]) <= padding:
            expected = f"images, (channels, height, width), with sides above {padding}"
            raise ParameterError("input_shape", image_shape, expected)
        self.samples, self.image_shape = samples, image_shape
        self.affine, self.flip = kind.startswith("affine"), kind.endswith("flip")
        self.rng, self.padding, self.shape = rng, padding, samples.shape

    def take_samples(self, rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return varied samples, and their row numbers 0, 1, 2 and so on."""
        array, at = self.samples.take_samples(rows)
        count, (channels, height, width) = len(at), self.image_shape
        images = array[at].reshape(count, channels, height, width)
        here = np.arange(count)
        if self.affine:
            return self._turned(images).reshape(count, -1), here
        down, right = self.rng.integers(-self.padding, self.padding + 1, (2, count, 1))
        y = _reflected(np.arange(height) + down, height)
        x = self._mirrored(_reflected(np.arange(width) + right, width))
        index = here[:, None, None, None], np.arange(channels)[:, None, None]
        varied = images[(*index, y[:, None, :, None], x[:, None, None, :])]
        return varied.reshape(count, -1), here

    def _mirrored(self, x: np.ndarray) -> np.ndarray:
        """Return places in rows of pixels, for every other image from the right."""
        if not self.flip:
            return x
        return np.where(self.rng.random((len(x), *[1] * (x.ndim - 1))) < 0.5, x[..., ::-1], x)

    def _turned(self, images: np.ndarray) -> np.ndarray:
        """Return images turned, resized and shifted."""
        count, channels, height, width = images.shape
        angle = np.deg2rad(self.rng.uniform(-_TURN, _TURN, (count, 1, 1)))
        size = self.rng.uniform(1 - _RESIZE, 1 + _RESIZE, (count, 1, 1))
        down, right = self.rng.uniform(-_SHIFT, _SHIFT, (2, count, 1, 1))
        v, u = np.mgrid[:height, :width] - np.array([height - 1, width - 1])[:, None, None] / 2
        cosine, sine = np.cos(angle) / size, np.sin(angle) / size
        y = cosine * v + sine * u + (height - 1) / 2 + down * height
        x = self._mirrored(cosine * u - sine * v + (width - 1) / 2 + right * width)
        if self.flip:
            y = np.where(x[:, :, :1] > x[:, :, -1:], y[..., ::-1], y)
        top, left = np.floor(y).astype(np.int64), np.floor(x).astype(np.int64)
        below, beside = (y - top)[:, None], (x - left)[:, None]
        index = np.arange(count)[:, None, None, None], np.arange(channels)[:, None, None]
        out = np.zeros((count, channels, height, width))
        for step_y, step_x in np.ndindex(2, 2):
            rows = _reflected(top + step_y, height)[:, None]
            columns = _reflected(left + step_x, width)[:, None]
            weight = (below if step_y else 1 - below) * (beside if step_x else 1 - beside)
            out += weight * images[(*index, rows, columns)]
        if images.dtype == np.uint8:
            out = np.rint(out)
        return out.astype(images.dtype)


def _reflected(places: np.ndarray, size: int) -> np.ndarray:
    """Return places beyond an edge mirrored at its outermost pixel."""
    places = np.abs(places)
    return np.abs(np.minimum(places, 2 * (size - 1) - places))


#: What may happen to an image, by the name that users give: functions of samples, the shape of
#: their images and, as ``rng``, random numbers, that return the samples to train on.
AUGMENTATIONS: Registry[Callable[..., Any]] = Registry(
    "augment",
    {
        "none": lambda samples, image_shape, rng: samples,
        "crop": partial(AugmentedSamples, kind="crop"),
        "crop-flip": partial(AugmentedSamples, kind="crop-flip"),
        "affine": partial(AugmentedSamples, kind="affine"),
        "affine-flip": partial(AugmentedSamples, kind="affine-flip"),
    },
    "augmentations",
    {
        "none": "Images stay as they are.",
        "crop": "Each is shifted by a few pixels.",
        "crop-flip": "crop, and every other one is mirrored.",
        "affine": "Each is turned, resized and shifted a little.",
        "affine-flip": "affine, and every other one is mirrored.",
    },
)
