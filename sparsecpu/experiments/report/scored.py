"""What the network of a run makes of samples that it was not trained on."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np

from sparsecpu.errors import SparseCPUError
from sparsecpu.experiments.detailed_scores import detailed_scores
from sparsecpu.experiments.parts import part_to_score
from sparsecpu.experiments.pixels import are_numbered, are_pixels
from sparsecpu.experiments.report.run_facts import RunFacts
from sparsecpu.experiments.scoring import outputs, quantities

#: Sides of squares that flat samples may be; smaller ones are tables.
_LEAST_SIDE = 5
#: What samples are called.
_PARTS = {
    "test": "held-out samples", "train": "samples that it was trained on",
    "all": "samples, some of which it was trained on",
}  # fmt: skip


@dataclass(frozen=True)
class Scored:
    """Samples, their targets, and what the network says of them.

    ``found`` are probabilities of classes, quantities, or raw outputs for labels; ``details`` are
    detailed scores, and ``image_shape`` is the shape of samples that are pictures, else None.
    """

    data: str
    part: str
    notes: tuple[str, ...]
    x: Any
    y: np.ndarray
    found: np.ndarray
    details: dict[str, Any]
    image_shape: tuple[int, ...] | None

    @property
    def words(self) -> str:
        """Which samples these are."""
        return f"{len(self.y):,} {_PARTS[self.part]} of {self.data}"


def score_run(run: RunFacts, data: str | None, reading: dict[str, Any]) -> Scored | str:
    """Score a run on its own data, or on other ``data``; return why not where that fails.

    ``reading`` are arguments of ``open_data`` for other data.
    """
    name = data or run.config["data"]
    given = reading if data is not None else {**reading, **run.config["reading"]}
    given = {key: value for key, value in given.items() if key != "scaling"}
    try:
        part = part_to_score(run.network, run.facts, name, None, given)
        z = outputs(run.network, part.x)
        details = detailed_scores(z, part.y, run.facts)
    except (SparseCPUError, OSError) as error:
        return " ".join(str(error).split())
    shape = image_shape(run, part.x)
    if run.task == "classification":
        from scipy.special import softmax

        found = softmax(z.astype(np.float64), axis=1)
    elif run.task == "multilabel":
        found = z
    else:
        found = quantities(z, run.facts)
    return Scored(name, part.name, part.notes, part.x, part.y, found, details, shape)


def image_shape(run: RunFacts, x: Any) -> tuple[int, ...] | None:
    """Return the shape of samples that are pictures: they say so, or are pixels of a square."""
    shape = tuple(run.network.input_shape)
    if len(shape) > 1:
        return shape if len(shape) in (2, 3) else None
    side = math.isqrt(shape[0])
    names = run.feature_names or ()
    if side < _LEAST_SIDE or side * side != shape[0] or (names and not are_numbered(names)):
        return None
    return (side, side) if x is None or are_pixels(x, names) else None


def rows_of(x: Any, rows: np.ndarray) -> np.ndarray:
    """Return some samples as an array of shape (samples, features)."""
    if hasattr(x, "tocsr"):
        found = np.zeros((len(rows), x.shape[1]))
        part = x[rows].tocoo()
        found[part.coords] = part.data
        return found
    if hasattr(x, "take_samples"):
        array, at = x.take_samples(rows)
        return np.asarray(array[at]).reshape(len(rows), -1)
    return np.asarray(x[rows]).reshape(len(rows), -1)
