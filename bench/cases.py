"""What is timed: shapes of layers, networks, and the samples that every contestant gets."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

import numpy as np

from sparsecpu.errors import ParameterError
from sparsecpu.networks.description import Architecture, mlp
from sparsecpu.networks.models import FAMILIES, MODELS, find_model, spelled_model
from sparsecpu.networks.models.gpt import block_of
from sparsecpu.registries.names import expected_name, find_name

#: What every optimizer gets: SGD with Nesterov momentum and weight decay.
LEARNING_RATE, MOMENTUM, WEIGHT_DECAY = 1e-4, 0.9, 5e-4
#: Sizes and batch by name. The last two are Nerva's and Truly Sparse's.
NETWORKS = {
    "lenet-300-100": ((784, 300, 100, 10), 128),
    "mlp-1000-1000": ((784, 1000, 1000, 10), 128),
    "nerva": ((3072, 1024, 512, 10), 100),
    "truly-sparse": ((3072, 4000, 1000, 4000, 10), 128),
}
#: Shape of the images that convolutional networks are timed on.
IMAGE = (3, 32, 32)
#: Different tokens of the text that language models are timed on, and sequences of a batch.
VOCABULARY, SEQUENCES = 96, 12


def checked_sparsities(sparsities: Iterable[float]) -> tuple[float, ...]:
    """Return sparsities as a tuple if all are in [0, 1)."""
    sparsities = tuple(sparsities)
    for sparsity in sparsities:
        if not 0 <= sparsity < 1:
            raise ParameterError("sparsity", sparsity, "a number in [0, 1)")
    return sparsities


def checked_groups(groups: str | None, default: tuple[int, ...] = (1,)) -> tuple[int, ...]:
    """Return the group sizes in a text such as ``1,4``, or the default where there is none."""
    if groups is None:
        return default
    found = tuple(dict.fromkeys(part.strip() for part in str(groups).split(",")))
    if not set(found) <= {"1", "2", "4", "8"}:
        raise ParameterError("group", groups, "1, 2, 4 or 8, or several with commas between")
    return tuple(map(int, found))


@dataclass(frozen=True)
class Variant:
    """Which of our layers or networks: how sparse, and how many rows share their columns."""

    sparsity: float
    group: int = 1

    def __str__(self) -> str:
        return f"{self.sparsity} group {self.group}"


class HasVariants:
    """A case with several sparsities and group sizes, all of them timed beside the same rivals."""

    sparsities: tuple[float, ...]
    groups: tuple[int, ...]

    def variants(self) -> Iterator[Variant]:
        """Yield what is timed of ours; at each sparsity all group sizes, one after the other."""
        for sparsity in self.sparsities:
            for group in self.groups:
                yield Variant(sparsity, group)


def _sizes(shape: str, separator: str) -> tuple[int, ...]:
    """Return the sizes in a text such as ``64x48``; empty if it does not read so."""
    try:
        sizes = tuple(int(part) for part in shape.lower().split(separator))
    except ValueError:
        return ()
    return sizes if min(sizes) >= 1 else ()


@dataclass(frozen=True)
class LinearCase(HasVariants):
    """One shape of a linear layer, at several sparsities beside the same dense rivals."""

    n_out: int
    n_in: int
    batch: int
    sparsities: tuple[float, ...]
    threads: int
    groups: tuple[int, ...] = (1,)

    @classmethod
    def parse(
        cls,
        shape: str,
        batch: int,
        sparsities: tuple[float, ...],
        threads: int,
        groups: tuple[int, ...] = (1,),
    ) -> LinearCase:
        """Return the case of a shape such as ``1024x784``."""
        sizes = _sizes(shape, "x")
        if len(sizes) != 2:
            raise ParameterError("shape", shape, "OUTxIN, such as 1024x784")
        return cls(*sizes, batch, sparsities, threads, groups)


@dataclass(frozen=True)
class ConvCase(HasVariants):
    """One shape of a convolution, at several sparsities beside the same dense rivals."""

    channels: int
    filters: int
    side: int
    kernel: int
    stride: int
    batch: int
    sparsities: tuple[float, ...]
    threads: int
    groups: tuple[int, ...] = (1,)

    @classmethod
    def parse(
        cls,
        shape: str,
        batch: int,
        sparsities: tuple[float, ...],
        threads: int,
        groups: tuple[int, ...] = (1,),
    ) -> ConvCase:
        """Return the case of a shape such as ``64-128-32-3-2``; the stride is 1 by default."""
        sizes = _sizes(shape, "-")
        if len(sizes) not in (4, 5):
            expected = "IN-OUT-SIDE-KERNEL or IN-OUT-SIDE-KERNEL-STRIDE, such as 64-128-32-3-2"
            raise ParameterError("shape", shape, expected)
        stride = sizes[4] if len(sizes) == 5 else 1
        channels, filters, side, kernel = sizes[:4]
        return cls(
            channels, filters, side, kernel, stride, batch, sparsities, threads, groups
        )  # fmt: skip

    def __str__(self) -> str:
        stride = f"/{self.stride}" if self.stride > 1 else ""
        kernel = f"{self.kernel}x{self.kernel}{stride}"
        return f"{self.channels}-{self.filters} {kernel} {self.side}x{self.side}"


@dataclass(frozen=True)
class AttentionCase:
    """Sequences of one length, heads, and numbers of a head."""

    sequences: int
    length: int
    heads: int
    size: int
    causal: bool
    threads: int

    @classmethod
    def parse(cls, shape: str, causal: bool, threads: int) -> AttentionCase:
        """Return the case of a shape such as ``16-256-6-64``."""
        sizes = _sizes(shape, "-")
        if len(sizes) != 4:
            expected = "SEQUENCES-LENGTH-HEADS-SIZE, such as 16-256-6-64"
            raise ParameterError("shape", shape, expected)
        return cls(*sizes, causal, threads)

    @property
    def products(self) -> int:
        """Multiplications of all scores: of a token with those it sees, in every head."""
        seen = self.length * (self.length + 1) // 2 if self.causal else self.length**2
        return self.sequences * self.heads * seen * self.size

    def __str__(self) -> str:
        return f"{self.sequences}x{self.length}, {self.heads} heads of {self.size}"


@dataclass(frozen=True)
class NetworkCase(HasVariants):
    """One network, at several sparsities beside the same dense rivals."""

    #: Sizes of all layers, the input first; of a convolutional network, input and output; of a
    #: language model, most tokens of a sequence and different tokens.
    sizes: tuple[int, ...]
    batch: int
    sparsities: tuple[float, ...]
    threads: int
    #: Name of a convolutional network or a language model; empty for an MLP.
    model: str = ""
    distribution: str = "erk"
    groups: tuple[int, ...] = (1,)

    @classmethod
    def parse(
        cls,
        name: str,
        sparsities: Iterable[float],
        threads: int,
        *,
        batch: int | None = None,
        distribution: str | None = None,
        groups: tuple[int, ...] = (1,),
    ) -> NetworkCase:
        """Return the case of a network's name, or of sizes such as ``784-300-10``."""
        sparsities, name = tuple(sparsities), find_name(name, NETWORKS) or spelled_model(name)
        if name not in NETWORKS and (model := find_model(name)) is not None:
            block, shared = block_of(model), distribution or "uniform"
            ends = (math.prod(IMAGE), 10) if block is None else (block, VOCABULARY)
            usual = 128 if block is None else SEQUENCES
            return cls(ends, batch or usual, sparsities, threads, name, shared, groups)
        sizes, usual_batch = NETWORKS.get(name, (_sizes(name, "-"), 128))
        if len(sizes) < 2:
            expected = expected_name(
                name, [*NETWORKS, *MODELS, *FAMILIES], "models", ", or sizes such as 784-300-10"
            )
            raise ParameterError("model", name, expected)
        batch, shared = batch or usual_batch, distribution or "erk"
        return cls(sizes, batch, sparsities, threads, "", shared, groups)

    @property
    def images(self) -> bool:
        """True if the network is convolutional and takes images."""
        return bool(self.model) and not self.text

    @property
    def text(self) -> bool:
        """True if the network is a language model."""
        return bool(self.model) and block_of(self._model()) is not None

    @property
    def tokens(self) -> int:
        """Tokens of a batch; 0 where samples are none."""
        return self.batch * self.sizes[0] if self.text else 0

    def described(self) -> Architecture:
        """Return the network's description, with all weights."""
        if not self.model:
            return mlp((self.sizes[0],), self.sizes[1:-1], self.sizes[-1])
        return self._model()(self.sizes[:1] if self.text else IMAGE, self.sizes[-1])

    def _model(self) -> Callable[..., Architecture]:
        model = find_model(self.model)
        assert model is not None  # ``parse`` has found it
        return model

    def sparse(self, variant: Variant) -> Architecture:
        """Return the description of the network as one of ours has it."""
        described = self.described().sparsify(1 - variant.sparsity, self.distribution)
        return described.in_groups(variant.group)

    def __str__(self) -> str:
        return self.model or "-".join(map(str, self.sizes))


class Batches:
    """The same samples and batches for every contestant, in turn."""

    def __init__(self, case: NetworkCase) -> None:
        rng = np.random.default_rng(0)
        count = 2 if case.images else 8
        samples = count * case.batch
        self.order = rng.permutation(samples).reshape(count, case.batch)
        self._last = 0
        if case.text:
            self.x, self.y = rng.integers(0, case.sizes[1], (2, samples, case.sizes[0]))
            return
        self.x = rng.standard_normal((samples, case.sizes[0]), dtype=np.float32)
        self.y = rng.integers(0, case.sizes[-1], samples)

    def next(self) -> np.ndarray:
        """Return the rows of the next batch."""
        self._last = (self._last + 1) % len(self.order)
        return self.order[self._last]
