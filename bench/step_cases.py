"""Networks whose training steps are timed, and the samples that everybody gets."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from sparsecpu.networks.description import Architecture, mlp
from sparsecpu.networks.models import find_model

RATE, MOMENTUM, DECAY = 1e-4, 0.9, 5e-4
#: Name, sizes, batch. The last two are Nerva's and Truly Sparse's.
NETWORKS = {
    "lenet-300-100": ((784, 300, 100, 10), 128),
    "mlp-1000-1000": ((784, 1000, 1000, 10), 128),
    "nerva": ((3072, 1024, 512, 10), 100),
    "truly-sparse": ((3072, 4000, 1000, 4000, 10), 128),
}

#: Shape of the images that convolutional networks are timed on.
IMAGE = (3, 32, 32)


@dataclass(frozen=True)
class Case:
    """One network to time.

    Parameters
    ----------
    sizes : tuple of int
        Of all layers, the input first.
    batch : int
        Samples per step.
    sparsities : tuple of float
        1 - density, several at once: dense rivals are timed once beside all of them.
    threads : int
        Threads of everybody.
    model : str
        Name of a convolutional network, on 32×32 colour images; empty for an MLP.
    distribution : {"erk", "er", "uniform"}
        How the layers share the weights that are kept.
    """

    sizes: tuple[int, ...]
    batch: int
    sparsities: tuple[float, ...]
    threads: int
    model: str = ""
    distribution: str = "erk"

    def described(self) -> Architecture:
        """Return the network's description, with all weights."""
        if not self.model:
            return mlp((self.sizes[0],), self.sizes[1:-1], self.sizes[-1])
        described = find_model(self.model)
        assert described is not None  # it was looked for when the case was made
        return described(IMAGE, self.sizes[-1])

    def __str__(self) -> str:
        return self.model or "-".join(map(str, self.sizes))


class Batches:
    """The same samples for everybody, and which of them are next.

    Parameters
    ----------
    case : Case
        Gives the sizes.
    """

    def __init__(self, case: Case) -> None:
        rng = np.random.default_rng(0)
        runs = 2 if case.model else 8
        samples = runs * case.batch
        self.x = rng.standard_normal((samples, case.sizes[0]), dtype=np.float32)
        self.y = rng.integers(0, case.sizes[-1], samples)
        self.order = rng.permutation(samples).reshape(runs, case.batch)
        self.turn = 0

    def next(self) -> np.ndarray:
        """Return the rows of the next batch."""
        self.turn = (self.turn + 1) % len(self.order)
        return self.order[self.turn]
