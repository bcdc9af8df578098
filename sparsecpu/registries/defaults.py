"""What the front doors start from where users say nothing, side by side.

They differ on purpose, each keeping to what its users know. Most of these numbers are conventions,
not optima:

* The **trainer** is the bare loop: SGD with momentum at a constant rate of 0.1, and ten epochs to
  look at. It adds no schedule and no weight decay.
* A **recipe** (command line, comparisons) is a whole run as papers report it, with weight decay,
  and a rate that is the peak of a schedule behind a warm-up. The dense network on the bundled
  digits chose 0.05 among 0.02, 0.05 and 0.1 (``sparsecpu compare digits``), over 40 epochs.
* The **estimators** keep scikit-learn's parameters and meanings: Adam, and up to 200 epochs, which
  ``tol`` may end before. What else they have was chosen on twelve tables, beside scikit-learn's
  networks at their defaults (``docs/studies/defaults.py``; docs/estimators.md has its table).
* The **estimator of images** trains with SGD, as the papers of its networks do. Its rate, and 20
  epochs because a convolutional epoch takes long, are conventions.
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
ESTIMATOR = Defaults(0.003, 200, "auto", "adam")
IMAGE_ESTIMATOR = Defaults(0.02, 20, 128, "sgd")

#: What estimators of tables have instead of what follows: small networks need more weights,
#: and short epochs an update of the topology that costs little.
ESTIMATOR_DENSITY, ESTIMATOR_TOPOLOGY = 0.2, "rigl"

#: What all others that build a sparse network agree on.
DENSITY, DISTRIBUTION, TOPOLOGY, PRECISION = 0.1, "erk", "sparse-momentum", "fp32"
#: Rows stand alone.
GROUP = 1
