"""The ranks that share every batch of a run: one by itself, or several."""

from __future__ import annotations

import zlib
from typing import Any

import numpy as np

from sparsecpu.sparse.dense_parameter import Parameter
from sparsecpu.sparse.parameter import SparseParameter
from sparsecpu.step.gradient_view import GradientView
from sparsecpu.step.samples import ArraySamples, Samples, SparseSamples

#: Streams of which every rank has its own: what they are for differs from sample to sample.
_OWN = ("dropout", "augmentation")
#: Samples of which ranks compare the numbers, beside all targets, before they train.
_COMPARED = 64


class OneRank:
    """A run in one process: it has every sample of a batch, and all sums are its own."""

    rank, size = 0, 1

    def own_streams(self, rngs: dict[str, np.random.Generator]) -> None:
        """Move the streams of which every rank has its own away from rank 0's."""

    def part(self, rows: np.ndarray) -> np.ndarray:
        """Return this rank's rows of a batch, perhaps none."""
        return rows

    def largest_part(self, batch_size: int) -> int:
        """Return the samples of the largest part of a batch."""
        return batch_size

    def of_batch(self, n_valid: int, observe: Any) -> dict[str, Any]:
        """Return what a context needs to know where this rank has so many samples of a batch."""
        return {"observe": observe}

    def agree(self, loss: float, interrupted: bool) -> float:
        """Return the loss of the batch, and hear whether any rank was interrupted."""
        return loss

    def halted(self, interrupted: bool) -> bool:
        """Return True if training is to end: once all ranks know that one was interrupted."""
        return interrupted

    def begin(self, keeps: bool, applied: set[int]) -> None:
        """Prepare for a backward pass, whose gradients are kept for later or not.

        ``applied`` fills with the identities of parameters whose gradients are used at once.
        """

    def finish(self) -> None:
        """Wait until the gradients of all ranks are added up."""

    def sum(self, array: np.ndarray) -> np.ndarray:
        """Add up an array over all ranks, in place, and return it."""
        return array

    def sum_all(self, arrays: list[np.ndarray]) -> None:
        """Add up each of several arrays over all ranks, in place."""

    def check_network(self, parameters: Any) -> None:
        """Raise ``RankError`` if patterns or weights of two ranks differ in a single bit."""

    def check_same(self, what: str, value: str) -> None:
        """Raise ``RankError`` on every rank if one has another value than rank 0."""

    def check_fit(self, told: str, samples: Samples, targets: np.ndarray) -> None:
        """Raise ``RankError`` on every rank if one trains on other samples, or in another way.

        ``told`` says how, and is the same on all ranks.
        """

    def broadcast(self, value: Any) -> Any:
        """Return what rank 0 has."""
        return value

    def threads(self) -> int | None:
        """Return how many threads a rank may use of the cores that it shares; None for any."""
        return None

    def wait(self, what: str) -> None:
        """Wait until all ranks are here; ``what`` says for what."""

    def abort(self, code: int) -> None:
        """End the other ranks at once, with an exit code."""


#: The only rank of a run in one process.
ALONE = OneRank()


class SeveralRanks(OneRank):
    """Ranks that each compute a part of every batch, and talk through a communicator."""

    def __init__(self, comm: Any) -> None:
        self.comm, self.rank, self.size = comm, comm.rank, comm.size
        self._told = False
        self._applied: set[int] = set()

    def own_streams(self, rngs: dict[str, np.random.Generator]) -> None:
        for name in _OWN if self.rank else ():
            stream: Any = rngs[name].bit_generator
            stream.state = stream.jumped(self.rank).state

    def part(self, rows: np.ndarray) -> np.ndarray:
        return rows[self.comm.part(len(rows))]

    def largest_part(self, batch_size: int) -> int:
        return -(-batch_size // self.size)

    def of_batch(self, n_valid: int, observe: Any) -> dict[str, Any]:
        def gathered(parameter: SparseParameter, view: GradientView) -> None:
            observe(parameter, view.over_ranks(self.comm, n_valid))

        seen = None if observe is None else gathered
        return {"observe": seen, "grad_ready": self._send}

    def agree(self, loss: float, interrupted: bool) -> float:
        told = self.comm.sum(np.array([loss, interrupted], dtype=np.float64))
        self._told = self._told or bool(told[1])
        return float(told[0])

    def halted(self, interrupted: bool) -> bool:
        return self._told

    def begin(self, keeps: bool, applied: set[int]) -> None:
        self._sent: set[int] = set()
        self._applied, self._keeps = applied, keeps

    def _send(self, layer: Any) -> None:
        """Begin to add up a layer's gradients; see ``Context.grad_ready``."""
        if not self._keeps:
            return
        parameters: dict[str, Parameter] = layer.parameters()
        for parameter in parameters.values():
            if id(parameter) not in self._applied and id(parameter) not in self._sent:
                self._sent.add(id(parameter))
                self.comm.start_sum(parameter.grad)

    def finish(self) -> None:
        self.comm.finish()

    def sum(self, array: np.ndarray) -> np.ndarray:
        return self.comm.sum(array)

    def sum_all(self, arrays: list[np.ndarray]) -> None:
        for array in arrays:
            self.comm.start_sum(array)
        self.comm.finish()

    def check_network(self, parameters: Any) -> None:
        self.comm.check_network(parameters)

    def check_fit(self, told: str, samples: Samples, targets: np.ndarray) -> None:
        self.comm.check_same("how to train", told)
        self.comm.check_same("shape of the training data", str(samples.shape))
        compared = [np.ascontiguousarray(targets)]
        if isinstance(samples, ArraySamples | SparseSamples):  # others may draw what they return
            first = np.arange(min(_COMPARED, samples.shape[0]), dtype=np.int64)
            array, rows = samples.take_samples(first)
            compared.append(np.ascontiguousarray(array[rows]))
        marks = " ".join(f"{zlib.crc32(array.view(np.uint8).data):08x}" for array in compared)
        self.comm.check_same("checksum of the training data", marks)

    def broadcast(self, value: Any) -> Any:
        return self.comm.broadcast(value)
