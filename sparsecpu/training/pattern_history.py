"""Records how patterns change in training: for teaching, and to see how far they explore."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np

from sparsecpu.callbacks import Callback
from sparsecpu.errors import FileFormatError
from sparsecpu.sparse.keys import sorted_once
from sparsecpu.sparse.pattern import Pattern
from sparsecpu.step.checked_arrays import Arrays, take, take_keys
from sparsecpu.training.spectral_gap import spectral_gap

#: The weights per input of the first layer are recorded up to this number of inputs.
_MOST_INPUTS = 4096


def tracking_memory(sizes: Iterable[int], counts: Iterable[int], grown: float) -> float:
    """Estimate the bytes that ``Tracker`` takes for layers of these sizes and numbers of weights.

    ``grown`` are the weights that a run grows in all, per weight of a layer. Where rows stand in
    groups, positions and weights are those of the pattern of groups.
    """
    layers = list(zip(sizes, counts, strict=True))
    kept = sum(16 * count + min(size / 8, 8 * (1 + grown) * count) for size, count in layers)
    return kept + 90 * max((count for _, count in layers), default=0)


class Explored:
    """Which of ``size`` positions were ever active: keys, or a bit each once that is smaller."""

    def __init__(self, size: int) -> None:
        self.size = size
        self.keys: np.ndarray | None = np.empty(0, dtype=np.int64)
        self.bits = np.empty(0, dtype=np.uint8)

    def add(self, keys: np.ndarray) -> None:
        """Add positions: sorted and distinct keys."""
        if self.keys is not None:
            self.keys = sorted_once(self.keys, keys)
            if self.keys.nbytes <= self.size // 8:
                return
            keys, self.keys = self.keys, None
            self.bits = np.zeros(-(-self.size // 8), dtype=np.uint8)
        np.bitwise_or.at(self.bits, keys >> 3, (1 << (keys & 7)).astype(np.uint8))

    @property
    def fraction(self) -> float:
        """Fraction of all positions."""
        count = len(self.keys) if self.keys is not None else int(np.bitwise_count(self.bits).sum())
        return count / self.size

    def array(self) -> np.ndarray:
        """Return what ``from_arrays`` takes: the keys (int64), or the bits (uint8)."""
        return self.bits if self.keys is None else self.keys

    def holds(self, keys: np.ndarray) -> bool:
        """Return True if all of some sorted keys are among the positions."""
        if self.keys is not None:
            return bool(np.isin(keys, self.keys, assume_unique=True).all())
        return bool((self.bits[keys >> 3] >> (keys & 7).astype(np.uint8) & 1).all())

    @classmethod
    def from_arrays(cls, arrays: Arrays, name: str, size: int) -> Explored:
        """Return the positions that ``array`` gave, checked."""
        found, held = cls(size), arrays.get(name)
        if held is None or held.dtype != np.uint8:
            found.keys = take_keys(arrays, name, size).copy()
            return found
        found.keys, found.bits = None, take(arrays, name, np.uint8, (-(-size // 8),)).copy()
        if size % 8 and found.bits[-1] >> (size % 8):
            raise FileFormatError(f"the array {name} has positions beyond {size}")
        return found


class _Layer:
    """What is known so far about the patterns of a layer, or of its groups of rows."""

    def __init__(self, pattern: Pattern) -> None:
        self.start, self.pattern = pattern.keys(), pattern
        self.born = np.zeros(pattern.nnz, dtype=np.int64)
        self.explored = Explored(pattern.size)
        self.explored.add(self.start)

    @classmethod
    def from_arrays(cls, arrays: Arrays, name: str, pattern: Pattern, steps: int) -> _Layer:
        """Return what was known when so many ``steps`` were done, checked."""
        found = cls(pattern)
        found.start = take_keys(arrays, f"{name}/start", pattern.size).copy()
        born = take(arrays, f"{name}/born", np.int64, (pattern.nnz,), least=0, most=steps)
        found.born = born.copy()
        found.explored = Explored.from_arrays(arrays, f"{name}/ever", pattern.size)
        if not (found.explored.holds(found.start) and found.explored.holds(pattern.keys())):
            raise FileFormatError(f"the array {name}/ever lacks positions that were active")
        return found

    def update(self, pattern: Pattern, step: int) -> dict[str, Any]:
        """Take note of a new pattern and return its statistics."""
        old, new = self.pattern.keys(), pattern.keys()
        stayed = np.isin(new, old, assume_unique=True)
        born = np.full(len(new), step, dtype=np.int64)
        born[stayed] = self.born[np.isin(old, new, assume_unique=True)]
        self.pattern, self.born = pattern, born
        self.explored.add(new[~stayed])
        kept = np.isin(self.start, new, assume_unique=True).sum()
        ages = step - born[stayed]
        return {
            "survivor_age": float(ages.mean()) if len(ages) else 0.0,
            "explored": self.explored.fraction,
            "distance": 1.0 - float(kept) / max(1, len(self.start)),
        }


def per_neuron(pattern: Pattern) -> dict[str, Any]:
    """Return statistics of the weights per output and per input."""
    fan_in, fan_out = pattern.fan_in, pattern.fan_out
    return {
        "fan_in": spread(fan_in),
        "fan_out": spread(fan_out),
        "dead_outputs": int((fan_in == 0).sum()),
        "dead_inputs": int((fan_out == 0).sum()),
    }


def spread(counts: np.ndarray) -> list[int]:
    """Return the least, the median and the largest of some counts."""
    return [int(counts.min()), int(np.median(counts)), int(counts.max())]


class Tracker(Callback):
    """Adds statistics of the patterns to the report of every topology update.

    Per layer: ``survivor_age`` (mean number of steps since the surviving weights were grown),
    ``explored`` (fraction of all positions that were ever active; ITOP's R_s), ``distance``
    (fraction of the first pattern that is gone), ``fan_in`` and ``fan_out`` (least, median, most
    weights per output and per input), ``dead_outputs`` and ``dead_inputs`` (those without any
    weight). For the first layer also ``inputs``, the weights of every input, where there are not
    too many. With ``spectrum``, which takes some milliseconds per layer, also what ``spectral_gap``
    returns.

    Liu et al., Do we actually need dense over-parameterization? In-time over-parameterization in
    sparse training (2021), section 3.1, for R_s. Memory: 16 bytes per weight, and at most a bit per
    position. Where rows stand in groups, ages, positions and distances are those of their shared
    columns, each of which is counted once.
    """

    def __init__(self, spectrum: bool = False) -> None:
        self.spectrum = spectrum
        self._layers: dict[str, _Layer] = {}

    def on_fit_start(self, trainer: Any) -> None:
        if not self._layers:
            self._layers = {
                n: _Layer(p.pattern.groups) for n, p in trainer.topology.run.parameters.items()
            }

    def on_update(self, trainer: Any, report: Any) -> None:
        for number, (name, layer) in enumerate(self._layers.items()):
            pattern = trainer.topology.run.parameters[name].pattern
            found = layer.update(pattern.groups, report.step) | per_neuron(pattern)
            if number == 0 and pattern.shape[1] <= _MOST_INPUTS:
                found["inputs"] = pattern.fan_out.tolist()
            if self.spectrum:
                found["spectrum"] = spectral_gap(pattern)
            report.layers.setdefault(name, {}).update(found)

    def arrays(self) -> dict[str, np.ndarray]:
        found: dict[str, np.ndarray] = {}
        for name, layer in self._layers.items():
            found |= {f"{name}/start": layer.start, f"{name}/born": layer.born}
            found[f"{name}/ever"] = layer.explored.array()
        return found

    def load_arrays(self, arrays: dict[str, np.ndarray], trainer: Any) -> None:
        self._layers = {
            name: _Layer.from_arrays(arrays, name, parameter.pattern.groups, trainer.steps_done)
            for name, parameter in trainer.topology.run.parameters.items()
        }
