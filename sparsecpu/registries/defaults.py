"""What the front doors start from where users say nothing, side by side.

They differ on purpose, each keeping to what its users know:

* The **trainer** is the bare loop of the textbooks: a constant rate, which plain SGD bears at 0.1,
  and ten epochs to look at. It adds nothing by itself.
* A **recipe** (command line, comparisons) is a whole run as papers report it: the rate is the peak
  of a schedule behind a warm-up, under momentum, which wants a smaller one, and 40 epochs are
  what the bundled data needs at low density.
* The **estimators** keep scikit-learn's parameters and meanings: Adam, and up to 200 epochs, of
  which early convergence (``tol``) usually saves most. Adam's rate is ten times scikit-learn's
  0.001, for sparse networks bear it and learn as much in fewer epochs.
* The **estimator of images** trains with SGD, as the papers of its networks do; a convolutional
  epoch is dear, and 20 of them show whether a network learns.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Defaults:
    """Learning rate, epochs, samples per step (None and "auto": the data decides), optimizer."""

    learning_rate: float
    epochs: int
    batch_size: Any
    optimizer: str


TRAINER = Defaults(0.1, 10, 128, "sgd")
RECIPE = Defaults(0.05, 40, None, "sgd")
ESTIMATOR = Defaults(0.01, 200, "auto", "adam")
IMAGE_ESTIMATOR = Defaults(0.02, 20, 128, "sgd")

#: What all of them that build a sparse network agree on.
DENSITY, DISTRIBUTION, TOPOLOGY, PRECISION = 0.1, "erk", "sparse-momentum", "fp32"
