"""Samples that are taken out of those to train on, to see how well a network does on others."""

from __future__ import annotations

from typing import Any

import numpy as np


def only_ones(classes: np.ndarray) -> np.ndarray:
    """Return the samples that are the only ones of their classes."""
    _, first, counts = np.unique(classes, return_index=True, return_counts=True)
    return np.sort(first[counts == 1])


def split_rows(
    rows: np.ndarray, held: int, seed: int, classes: np.ndarray | None
) -> tuple[np.ndarray, np.ndarray]:
    """Split sample numbers into those to train on, and so many to hold out.

    ``classes`` are those of all samples: in both parts they have their proportions, where there are
    enough samples of each.
    """
    from sklearn.model_selection import train_test_split

    strata = None if classes is None else _strata(classes[rows], held)
    left, out = train_test_split(rows, test_size=held, random_state=seed, stratify=strata)
    return left, out


def _strata(classes: np.ndarray, held: int) -> np.ndarray | None:
    """Return what to draw ``held`` samples in proportion of, if each class may be in both parts."""
    count = len(np.unique(classes))
    return classes if count <= min(held, len(classes) - held) else None


def take(x: Any, rows: np.ndarray) -> Any:
    """Return some samples: without reading them, where they are made on demand."""
    return _Part(x, rows) if hasattr(x, "take_samples") else x[rows]


class _Part:
    """Some of the samples that are made on demand."""

    def __init__(self, samples: Any, rows: np.ndarray) -> None:
        self.samples, self.rows = samples, rows
        self.shape = (len(rows), samples.shape[1])

    def take_samples(self, rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return an array, and where in it the samples are."""
        return self.samples.take_samples(self.rows[rows])
