"""Images that are varied anew each time they are used in training."""

from __future__ import annotations

from typing import Any

import numpy as np

from sparsecpu.errors import ParameterError

#: What may happen to an image: a random crop of it, reflected at its edges, and a mirror.
AUGMENTATIONS = ("none", "crop", "crop-flip")


class AugmentedSource:
    """A source whose images are shifted, and perhaps mirrored, at random.

    Parameters
    ----------
    source : Source
        The images, as they are.
    image_shape : tuple of ints
        ``(channels, height, width)``.
    kind : {"crop", "crop-flip"}
        ``crop`` shifts by up to ``padding`` pixels each way, pixels beyond the edge being
        reflected; ``crop-flip`` also mirrors every other image, left to right.
    rng : numpy.random.Generator
        Draws the variations, batch after batch; a trainer's stream "augmentation".
    padding : int
        Pixels.

    Attributes
    ----------
    shape : tuple of ints
        ``(samples, features)``.

    Raises
    ------
    ParameterError
        If there is no such kind, or the images are smaller than the padding.

    Notes
    -----
    He et al., Deep residual learning (2016), section 4.2, pads with zeros; Zagoruyko & Komodakis,
    Wide residual networks (2016), section 3, reflects.
    """

    def __init__(
        self,
        source: Any,
        image_shape: tuple[int, ...],
        kind: str,
        rng: np.random.Generator,
        padding: int = 4,
    ) -> None:
        if kind not in AUGMENTATIONS[1:]:
            raise ParameterError("augment", kind, f"one of {', '.join(AUGMENTATIONS)}")
        if len(image_shape) != 3 or min(image_shape[1:]) <= padding:
            raise ParameterError("image shape", image_shape, f"sides above {padding} pixels")
        self.source, self.image_shape, self.flip = source, image_shape, kind == "crop-flip"
        self.rng, self.padding, self.shape = rng, padding, source.shape

    def take_samples(self, rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return varied samples.

        Parameters
        ----------
        rows : ndarray of int64
            Which ones.

        Returns
        -------
        array : ndarray, shape (len(rows), features)
            Their pixels.
        rows : ndarray of int64
            0, 1, 2 …
        """
        array, at = self.source.take_samples(rows)
        count, (channels, height, width) = len(at), self.image_shape
        images = array[at].reshape(count, channels, height, width)
        down, right = self.rng.integers(-self.padding, self.padding + 1, (2, count, 1))
        y = _reflected(np.arange(height) + down, height)
        x = _reflected(np.arange(width) + right, width)
        if self.flip:
            x = np.where(self.rng.random((count, 1)) < 0.5, x[:, ::-1], x)
        here = np.arange(count)
        index = here[:, None, None, None], np.arange(channels)[:, None, None]
        varied = images[(*index, y[:, None, :, None], x[:, None, None, :])]
        return varied.reshape(count, -1), here


def _reflected(places: np.ndarray, size: int) -> np.ndarray:
    """Return places beyond an edge mirrored at its outermost pixel."""
    places = np.abs(places)
    return np.minimum(places, 2 * (size - 1) - places)
