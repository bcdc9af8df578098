"""What a run is validated on while it trains: a part of its training samples, or a file."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from os.path import abspath
from pathlib import Path
from typing import Any

import numpy as np

from sparsecpu.datasets import Dataset
from sparsecpu.datasets.text import LANGUAGE
from sparsecpu.errors import ConflictError, DataError, ParameterError
from sparsecpu.experiments.held_out import only_ones, split_rows, take
from sparsecpu.experiments.known_data import mark_of
from sparsecpu.experiments.parts import part_to_score

#: Options that say how training data is read, and nothing of a file beside it.
_OF_TRAINING = ("samples", "scaling")


@dataclass(frozen=True)
class Held:
    """Samples to validate on; targets are class numbers, or quantities (samples, outputs).

    ``notes`` are what the user should know of them.
    """

    x: Any
    y: np.ndarray
    notes: tuple[str, ...] = ()

    @property
    def mark(self) -> str:
        """A mark by which a resumed run knows them again."""
        return mark_of(self.x, self.y)


def fraction_of(validation: str) -> float | None:
    """Return the part of the training samples that a text stands for, None if it names data.

    Raises ``ParameterError`` for a number that is no such part.
    """
    try:
        fraction = float(validation)
    except ValueError:
        return None
    if not 0.0 < fraction < 1.0:
        expected = "a fraction of the training samples between 0 and 1, or a file"
        raise ParameterError("validation", validation, expected)
    return fraction


def refuse_text(dataset: Dataset) -> None:
    """Refuse text, which is scored in another way while training."""
    if dataset.task == LANGUAGE:
        reason = "whose last tenth is held out: --evaluate-every scores that while training"
        raise ConflictError("validation", dataset.name, reason)


def cut_off(dataset: Dataset, fraction: float, seed: int) -> tuple[Dataset, Held]:
    """Take a part of a data set's training samples out of them, class by class; return both.

    The ``seed`` chooses the part. Raises ``ParameterError`` if one of the parts would have too few
    samples: fewer than there are classes, or than two.
    """
    y, count = dataset.y_train, dataset.x_train.shape[0]
    held, classes = math.ceil(fraction * count), None
    alone = np.arange(0)
    if dataset.task == "classification":
        classes, alone = y, only_ones(y)
    rest = np.setdiff1d(np.arange(count), alone)
    _check_sizes(dataset, fraction, held, len(rest) - held)
    left, out = split_rows(rest, held, _short(seed), classes)
    left, out = np.sort(np.concatenate([left, alone])), np.sort(out)
    held_out = Held(take(dataset.x_train, out), y[out])
    return replace(dataset, x_train=take(dataset.x_train, left), y_train=y[left]), held_out


def _check_sizes(dataset: Dataset, fraction: float, held: int, left: int) -> None:
    """Refuse parts that have fewer samples than there are classes."""
    least, why, count = 2, "", len(dataset.y_train)
    if dataset.classes is not None:
        least, why = len(dataset.classes), ", one for each class"
    for does, size in (("holds out", held), ("leaves", left)):
        if size < least:
            expected = (
                f"one that {does} at least {least} of {count} training samples{why}, not {size}"
            )
            raise ParameterError("validation", fraction, expected)


def _short(seed: int) -> int:
    """Return a seed, however large, as scikit-learn takes it."""
    return int(np.random.SeedSequence([seed, 1]).generate_state(1)[0])


def read_held(
    validation: str, data: str, network: Any, facts: dict[str, Any], reading: dict[str, Any]
) -> Held:
    """Read samples to validate on as ``data``, which the run trains on, was read.

    ``network`` and ``facts`` say what the samples must be like. Of data that says so itself, those
    for testing are taken, and else all.
    """
    if validation == data or (Path(data).exists() and abspath(validation) == abspath(data)):
        expected = "a fraction, or other data than what is trained on"
        raise ParameterError("validation", validation, expected)
    if not Path(validation).exists():
        expected = "a fraction between 0 and 1, or a file; there is none of this name"
        raise ParameterError("validation", validation, expected)
    usual = {name: value for name, value in reading.items() if name not in _OF_TRAINING}
    part = part_to_score(network, facts, validation, None, {"samples": None, **usual})
    if len(part.y) < 2:
        raise DataError(f"{validation} has {len(part.y)} sample(s); expected 2 or more")
    return Held(part.x, part.y, part.notes)
