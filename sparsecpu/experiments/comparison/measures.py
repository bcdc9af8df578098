"""What runs of a comparison are scored by, and how that is shown."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from sparsecpu.datasets.text import LANGUAGE, is_text


@dataclass(frozen=True)
class Measure:
    """A score: its ``name``, its ``sign`` (1 where more is better), and what it is shown times."""

    name: str
    sign: int
    times: int
    digits: int
    words: str


_SHARE = Measure("score", 1, 100, 2, "in percent (accuracy, or R²)")
_LOSS = Measure("loss", -1, 1, 4, "in nats per token of held-out text: less is better")


def measure_of(data: str) -> Measure:
    """Return what runs on data of this name are scored by."""
    return _LOSS if is_text(data) else _SHARE


def has_its_test(dataset: Any) -> bool:
    """Return True for data whose test part is never cut anew, as that of text, which is its end."""
    return dataset.own_test or dataset.task == LANGUAGE
