"""What becomes of a pattern while it changes: for teaching, and to see how far it explores."""

from __future__ import annotations

from typing import Any

import numpy as np

from sparsecpu.callbacks import Callback
from sparsecpu.sparse.keys import sorted_once
from sparsecpu.sparse.pattern import Pattern
from sparsecpu.training.spectral_gap import spectral_gap

#: The first layer's weights per input are kept for at most so many inputs.
_PICTURED = 4096


class Explored:
    """The positions that were ever active: as keys, or as bits once these are smaller.

    Parameters
    ----------
    size : int
        Positions there are.
    """

    def __init__(self, size: int) -> None:
        self.size = size
        self.keys: np.ndarray | None = np.empty(0, dtype=np.int64)
        self.bits = np.empty(0, dtype=np.uint8)

    def add(self, keys: np.ndarray) -> None:
        """Add positions.

        Parameters
        ----------
        keys : ndarray of int64
            Sorted and distinct.
        """
        if self.keys is not None:
            self.keys = sorted_once(self.keys, keys)
            if self.keys.nbytes <= self.size // 8:
                return
            keys, self.keys = self.keys, None
            self.bits = np.zeros(-(-self.size // 8), dtype=np.uint8)
        np.bitwise_or.at(self.bits, keys >> 3, (1 << (keys & 7)).astype(np.uint8))

    @property
    def share(self) -> float:
        """Fraction of all positions."""
        count = len(self.keys) if self.keys is not None else int(np.bitwise_count(self.bits).sum())
        return count / self.size


class _Layer:
    """What is known of one layer."""

    def __init__(self, pattern: Pattern) -> None:
        self.start, self.pattern = pattern.keys(), pattern
        self.born = np.zeros(pattern.nnz, dtype=np.int64)
        self.explored = Explored(pattern.size)
        self.explored.add(self.start)

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
            "explored": self.explored.share,
            "distance": 1.0 - float(kept) / max(1, len(self.start)),
            "fan_in": spread(pattern.fan_in),
            "fan_out": spread(pattern.fan_out),
            "dead_outputs": int((pattern.fan_in == 0).sum()),
            "dead_inputs": int((pattern.fan_out == 0).sum()),
        }


def spread(counts: np.ndarray) -> list[int]:
    """Return the least, the median and the most.

    Parameters
    ----------
    counts : ndarray of int
        Numbers of weights.

    Returns
    -------
    list of three ints
        They.
    """
    return [int(counts.min()), int(np.median(counts)), int(counts.max())]


class Tracker(Callback):
    """Adds statistics to every topology update, so that the history has them.

    Per layer: ``survivor_age`` (mean steps since the weights that survived were grown),
    ``explored`` (fraction of all positions that were ever active; ITOP's R_s), ``distance``
    (fraction of the first pattern that is gone), ``fan_in`` and ``fan_out`` (least, median, most
    weights per output and per input), ``dead_outputs`` and ``dead_inputs`` (those without any).
    For the first layer also ``inputs``, the weights of every input, where there are not too many.

    Parameters
    ----------
    spectrum : bool
        Whether to add ``spectrum``, see ``spectrum.spectral_gap``; some milliseconds per layer.

    Notes
    -----
    Liu et al., Do we actually need dense over-parameterization? In-time over-parameterization in
    sparse training (2021), section 3.1, for R_s. Memory: 16 bytes per weight, and at most a bit per
    position.
    """

    def __init__(self, spectrum: bool = False) -> None:
        self.spectrum = spectrum
        self._layers: dict[str, _Layer] = {}

    def on_fit_start(self, trainer: Any) -> None:
        """Remember the first patterns; see ``Callback``.

        Parameters
        ----------
        trainer : Trainer
            Who trains.
        """
        if not self._layers:
            self._layers = {
                n: _Layer(p.pattern) for n, p in trainer.topology.run.parameters.items()
            }

    def on_update(self, trainer: Any, report: Any) -> None:
        """Add to the report; see ``Callback``.

        Parameters
        ----------
        trainer : Trainer
            Who trains.
        report : Report
            What happened.
        """
        for number, (name, layer) in enumerate(self._layers.items()):
            pattern = trainer.topology.run.parameters[name].pattern
            found = layer.update(pattern, report.step)
            if number == 0 and pattern.shape[1] <= _PICTURED:
                found["inputs"] = pattern.fan_out.tolist()
            if self.spectrum:
                found["spectrum"] = spectral_gap(pattern)
            report.layers.setdefault(name, {}).update(found)

    def arrays(self) -> dict[str, np.ndarray]:
        """Return what a resumed run needs; see ``Callback``."""
        found: dict[str, np.ndarray] = {}
        for name, layer in self._layers.items():
            ever = layer.explored
            found |= {f"{name}/start": layer.start, f"{name}/born": layer.born}
            found[f"{name}/ever"] = ever.bits if ever.keys is None else ever.keys
        return found

    def load_arrays(self, arrays: dict[str, np.ndarray], trainer: Any) -> None:
        """Take up what ``arrays`` returned; see ``Callback``.

        Parameters
        ----------
        arrays : dict of str to ndarray
            By name.
        trainer : Trainer
            Who trains.
        """
        for name, parameter in trainer.topology.run.parameters.items():
            layer = _Layer(parameter.pattern)
            layer.start, layer.born = arrays[f"{name}/start"], arrays[f"{name}/born"]
            ever = arrays[f"{name}/ever"]
            if ever.dtype == np.uint8:
                layer.explored.keys, layer.explored.bits = None, ever
            else:
                layer.explored.keys = ever
            self._layers[name] = layer
