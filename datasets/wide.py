"""Samples with very many features, for networks with very many neurons."""

from __future__ import annotations

import numpy as np

from sparsecpu.datasets.base import Dataset, checked_count, split

#: Features, classes, and samples by default.
FEATURES, CLASSES, SAMPLES = 65_536, 10, 320
#: Each class raises this fraction of the features by so many standard deviations of the noise.
_RAISED, _SHIFT = 0.1, 1.0
_AT_ONCE = 256  # samples whose noise is drawn at a time


def make_wide(samples: int | None = None) -> Dataset:
    """Generate a classification problem with 65,536 features, each of little use by itself.

    Each of ten classes raises a tenth of the features, drawn at random, by one standard deviation
    of their noise. Features are bytes (mean 128, standard deviation 32), so a sample takes 64 KiB.
    A fifth of the samples is held out for testing.

    Parameters
    ----------
    samples : int, optional
        Training and test samples together; 320 by default.

    Raises
    ------
    DataError
        If ``samples`` is below 50.
    """
    samples = checked_count(samples, SAMPLES, least=5 * CLASSES)
    rng = np.random.default_rng(0)
    raised = rng.random((CLASSES, FEATURES), dtype=np.float32) < _RAISED
    y = np.arange(samples) % CLASSES
    x = np.empty((samples, FEATURES), dtype=np.uint8)
    for first in range(0, samples, _AT_ONCE):
        here = slice(first, first + _AT_ONCE)
        noise = rng.standard_normal(x[here].shape, dtype=np.float32)
        noise += np.float32(_SHIFT) * raised[y[here]]
        x[here] = np.clip(128 + 32 * noise, 0, 255)
    return split("make:wide", x, y, "classification", scaling="global")
