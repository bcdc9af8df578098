"""Samples with very many features, for networks with very many neurons."""

from __future__ import annotations

import numpy as np

from sparsecpu.datasets.base import Dataset, split
from sparsecpu.errors import DataError

#: Features, classes, and samples where no number is asked for.
FEATURES, CLASSES, SAMPLES = 65_536, 10, 320
#: Each class raises this fraction of the features by so many standard deviations of the noise.
_SHARE, _SHIFT = 0.1, 1.0
_RUN = 256  # samples that are drawn at a time


def make_wide(samples: int | None = None) -> Dataset:
    """Generate a classification problem with 65,536 features, each of little use by itself.

    Every class raises a tenth of the features, drawn at random, by one standard deviation of their
    noise. Features are bytes (mean 128, standard deviation 32), so a sample takes 64 KiB.

    Parameters
    ----------
    samples : int, optional
        Training and test samples together; 320 by default.

    Returns
    -------
    Dataset
        Ten classes; a fifth of the samples held out.

    Raises
    ------
    DataError
        If ``samples`` is below 50.
    """
    samples = SAMPLES if samples is None else samples
    if samples < 5 * CLASSES:
        raise DataError(f"samples is {samples}; expected at least {5 * CLASSES}")
    rng = np.random.default_rng(0)
    raised = rng.random((CLASSES, FEATURES), dtype=np.float32) < _SHARE
    y = np.arange(samples) % CLASSES
    x = np.empty((samples, FEATURES), dtype=np.uint8)
    for first in range(0, samples, _RUN):
        here = slice(first, first + _RUN)
        noise = rng.standard_normal(x[here].shape, dtype=np.float32)
        noise += np.float32(_SHIFT) * raised[y[here]]
        x[here] = np.clip(128 + 32 * noise, 0, 255)
    return split("make:wide", x, y, "classification", scaling="global")
