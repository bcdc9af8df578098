"""``bench train``: whole training steps, gather to update, beside the same network dense."""

from __future__ import annotations

import importlib.util
import itertools
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
from sparsecpu.bench.base import Benchmark
from sparsecpu.bench.dense import DenseMLP
from sparsecpu.bench.timing import Timing, compare, fastest, ratio, shown

from sparsecpu.errors import ParameterError
from sparsecpu.workspace import check_precision

_RATE, _MOMENTUM, _DECAY = 1e-4, 0.9, 5e-4
#: Name, sizes, batch. The last two are Nerva's and Truly Sparse's.
NETWORKS = {
    "lenet-300-100": ((784, 300, 100, 10), 128),
    "mlp-1000-1000": ((784, 1000, 1000, 10), 128),
    "nerva": ((3072, 1024, 512, 10), 100),
    "truly-sparse": ((3072, 4000, 1000, 4000, 10), 128),
}


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
    """

    sizes: tuple[int, ...]
    batch: int
    sparsities: tuple[float, ...]
    threads: int


class Batches:
    """The same samples for everybody, and which of them are next.

    Parameters
    ----------
    case : Case
        Gives the sizes.
    """

    def __init__(self, case: Case) -> None:
        rng = np.random.default_rng(0)
        samples = 8 * case.batch
        self.x = rng.standard_normal((samples, case.sizes[0]), dtype=np.float32)
        self.y = rng.integers(0, case.sizes[-1], samples)
        self.order = rng.permutation(samples).reshape(8, case.batch)
        self.turn = 0

    def next(self) -> np.ndarray:
        """Return the rows of the next batch."""
        self.turn = (self.turn + 1) % len(self.order)
        return self.order[self.turn]


class Ours:
    """A training step of ours.

    Parameters
    ----------
    case : Case
        The network.
    sparsity : float
        1 - density, shared out by ERK, as in training.
    batches : Batches
        The samples.
    precision : {"fp32", "bf16", "fp16"}
        How layers read their inputs.
    """

    def __init__(
        self, case: Case, sparsity: float, batches: Batches, precision: str = "fp32"
    ) -> None:
        from sparsecpu.architecture import mlp
        from sparsecpu.losses import SoftmaxCrossEntropy
        from sparsecpu.optimizers import SGD
        from sparsecpu.trainer import Trainer

        described = mlp((case.sizes[0],), case.sizes[1:-1], case.sizes[-1])
        network = described.sparsify(1 - sparsity).build(np.random.default_rng(0))
        self.trainer = Trainer(
            network, loss=SoftmaxCrossEntropy(),
            optimizer=SGD(_MOMENTUM, weight_decay=_DECAY), learning_rate=_RATE,
            batch_size=case.batch, epochs=1, threads=case.threads, precision=precision,
        )  # fmt: skip
        self.batches, self.source = batches, network.source(batches.x)
        self.targets = self.trainer.loss.prepare(batches.y, case.sizes[-1])

    def step(self) -> None:
        """Gather, forward, loss, backward, update."""
        self.trainer.step(self.source, self.targets, self.batches.next())

    def parts(self) -> dict[str, Callable[[], object]]:
        """Return the parts of a step, each on what the one before left behind."""
        trainer, network = self.trainer, self.trainer.network
        ctx, rows = trainer._ctx, self.batches.order[0]
        lanes = network.lanes(len(rows))
        x = network.gather(self.source, rows, lanes, ctx)
        z, saved = network.forward(x, ctx)
        _, dz = trainer.loss(z, rows, self.targets, ctx)
        parameters = list(network.parameters().values())
        return {
            "gather": lambda: network.gather(self.source, self.batches.next(), lanes, ctx),
            "forward": lambda: network.forward(x, ctx),
            "loss": lambda: trainer.loss(z, rows, self.targets, ctx),
            "backward": lambda: network.backward(dz, saved, ctx),
            "update": lambda: trainer.optimizer.step(parameters, 0.0, 0),
        }


class Rival:
    """A dense step of somebody else's.

    Parameters
    ----------
    case : Case
        The network.
    batches : Batches
        The samples.
    """

    name: ClassVar[str]
    needs: ClassVar[str | None] = None
    how: ClassVar[str] = "pip install 'sparsecpu[peers]'"
    #: Whether it counts when the fastest dense one is looked for.
    dense: ClassVar[bool] = True

    def __init__(self, case: Case, batches: Batches) -> None:
        self.case, self.batches = case, batches
        self.setup()

    def setup(self) -> None:
        """Prepare what is not timed."""

    def step(self) -> None:
        """Gather, forward, loss, backward, update."""
        raise NotImplementedError


class NumPyStep(Rival):
    """Plain NumPy on its BLAS."""

    name = "dense NumPy"

    def setup(self) -> None:
        """Make the network."""
        self.network = DenseMLP(self.case.sizes, self.case.batch)

    def step(self) -> None:
        """Do one step."""
        self.network.step(self.batches.x, self.batches.y, self.batches.next(), _RATE)


class TorchStep(Rival):
    """PyTorch as users write it."""

    name, needs = "dense PyTorch", "torch"

    def setup(self) -> None:
        """Make the network and the optimizer."""
        import torch

        torch.set_num_threads(self.case.threads)
        torch.manual_seed(0)
        layers: list[Any] = []
        for n_in, n_out in itertools.pairwise(self.case.sizes):
            layers += [torch.nn.Linear(n_in, n_out), torch.nn.ReLU()]
        self.network = torch.nn.Sequential(*layers[:-1])
        self.optimizer = torch.optim.SGD(
            self.network.parameters(), _RATE, _MOMENTUM, weight_decay=_DECAY, nesterov=True
        )
        self.loss = torch.nn.CrossEntropyLoss()
        self.x, self.y = torch.from_numpy(self.batches.x), torch.from_numpy(self.batches.y)
        self.tensor = torch.from_numpy

    def step(self) -> None:
        """Do one step."""
        rows = self.tensor(self.batches.next())
        self.optimizer.zero_grad()
        self.loss(self.network(self.x[rows]), self.y[rows]).backward()
        self.optimizer.step()


class MaskedStep(TorchStep):
    """PyTorch as sparse training is usually simulated: a mask on gradients and weights."""

    name, dense = "masked PyTorch", False

    def setup(self) -> None:
        """Make masks of 5 % as well; what they hold does not change the time."""
        super().setup()
        import torch

        weights = [p for p in self.network.parameters() if p.dim() == 2]
        self.masks = [(w, (torch.rand_like(w) < 0.05).float()) for w in weights]
        for weight, mask in self.masks:
            weight.data.mul_(mask)

    def step(self) -> None:
        """Do one step, and mask."""
        rows = self.tensor(self.batches.next())
        self.optimizer.zero_grad()
        self.loss(self.network(self.x[rows]), self.y[rows]).backward()
        for weight, mask in self.masks:
            weight.grad.mul_(mask)
        self.optimizer.step()
        for weight, mask in self.masks:
            weight.data.mul_(mask)


class ScikitStep(Rival):
    """scikit-learn's MLPClassifier, one ``partial_fit`` per step (no threads of its own)."""

    name = "scikit-learn"

    def setup(self) -> None:
        """Make the network."""
        from sklearn.neural_network import MLPClassifier

        self.network = MLPClassifier(
            self.case.sizes[1:-1], solver="sgd", batch_size=self.case.batch, momentum=_MOMENTUM,
            learning_rate_init=_RATE, alpha=_DECAY, random_state=0,
        )  # fmt: skip
        self.classes = np.arange(self.case.sizes[-1])

    def step(self) -> None:
        """Do one step."""
        rows = self.batches.next()
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            x, y = self.batches.x[rows], self.batches.y[rows]
            self.network.partial_fit(x, y, classes=self.classes)


#: A new rival is one class and one entry here.
RIVALS: tuple[type[Rival], ...] = (NumPyStep, ScikitStep, TorchStep, MaskedStep)


class Train(Benchmark):
    """Whole steps of whole networks."""

    name = "train"
    title = "a training step: gather, forward, loss, backward, update (SGD, Nesterov, weight decay)"

    def setup(self) -> None:
        """Look for the rivals."""
        self.rivals = [r for r in RIVALS if not r.needs or importlib.util.find_spec(r.needs)]
        self.missing = {r.name: r.how for r in RIVALS if r not in self.rivals}
        self.precision = check_precision(self.options.get("precision", "fp32"), np.float32)

    def cases(self) -> list[Case]:
        """Return the networks."""
        names = self.options.get("models") or self.pick(
            ["lenet-300-100", "mlp-1000-1000"], list(NETWORKS), list(NETWORKS)
        )
        sparsities = tuple(self.options.get("sparsities") or (0.9, 0.95, 0.98, 0.99))
        return [self._case(name, sparsities) for name in names]

    def _case(self, name: str, sparsities: tuple[float, ...]) -> Case:
        if name in NETWORKS:
            sizes, batch = NETWORKS[name]
        else:
            try:
                sizes, batch = tuple(int(size) for size in name.split("-")), 128
            except ValueError:
                sizes, batch = (), 0
            if len(sizes) < 2 or min(sizes) < 1:
                expected = f"one of {', '.join(NETWORKS)}, or sizes such as 784-300-10"
                raise ParameterError("model", name, expected)
        return Case(sizes, self.options.get("batch") or batch, sparsities, self.threads)

    def run(self, case: Case) -> dict[str, Any]:
        """Time one network; see ``Benchmark.run``.

        Parameters
        ----------
        case : Case
            What to time.

        Returns
        -------
        dict
            ``sizes, batch, threads, rival_ms``, and per sparsity ``ms``, ``quartiles``, ``nnz``,
            ``ratio`` by rival, ``dense_speedup`` over the fastest dense one and, where asked for,
            ``profile``: the share of each part.
        """
        from threadpoolctl import threadpool_limits

        from sparsecpu.kernels.threads import use_threads

        batches = Batches(case)
        ours = {s: Ours(case, s, batches, self.precision) for s in case.sparsities}
        theirs = {rival: rival(case, batches) for rival in self.rivals}
        contestants: dict[str, Callable[[], object]] = {
            f"ours/{s}": made.step for s, made in ours.items()
        }
        contestants |= {f"{r.name}/step": made.step for r, made in theirs.items()}
        rounds = self.options.get("rounds") or self.pick(3, 5, 9)
        with use_threads(case.threads), threadpool_limits(case.threads):
            budget = self.pick(15.0, 60.0, np.inf)
            times = compare(contestants, rounds=rounds, seconds=0.02, budget=budget)
            results = [self._one(s, made, times, case.threads, rounds) for s, made in ours.items()]
        return {
            "sizes": list(case.sizes), "batch": case.batch, "threads": case.threads,
            "precision": self.precision,
            "rival_ms": {r.name: times[f"{r.name}/step"].ms for r in theirs},
            "results": results,
        }  # fmt: skip

    def _one(self, sparsity, made, times: dict[str, Timing], threads, rounds) -> dict[str, Any]:
        mine = times[f"ours/{sparsity}"]
        dense = {r.name: [times[f"{r.name}/step"]] for r in self.rivals if r.dense}
        name, clear = fastest(dense)
        found: dict[str, Any] = {
            "sparsity": sparsity, "nnz": made.trainer.network.nnz, "ms": mine.ms,
            "quartiles": [mine.low, mine.high], "fastest_dense": name,
            "dense_speedup": ratio(dense[name], [mine]) if clear else None,
            "ratio": {r.name: ratio([times[f"{r.name}/step"]], [mine]) for r in self.rivals},
        }  # fmt: skip
        if self.options.get("profile"):
            parts = {f"ours/{name}": call for name, call in made.parts().items()}
            spent = {n.partition("/")[2]: t.ms for n, t in compare(parts, rounds=rounds).items()}
            found["profile"] = {name: ms / sum(spent.values()) for name, ms in spent.items()}
        return found

    def heading(self) -> str:
        """Return the table's first line."""
        head = f"{'network':<24}{'batch':>6}{'spars.':>7}{'ours ms':>9}{'vs dense':>10}"
        return head + "".join(f"{r.name:>{len(r.name) + 3}}" for r in self.rivals)

    def row(self, result: dict[str, Any]) -> str:
        """Return the lines of one network; see ``Benchmark.row``.

        Parameters
        ----------
        result : dict
            From ``run``.

        Returns
        -------
        str
            One line per sparsity, and the rivals' milliseconds.
        """
        name = "-".join(map(str, result["sizes"]))
        lines = []
        for found in result["results"]:
            line = f"{name:<24}{result['batch']:>6}{found['sparsity']:>7g}{found['ms']:>9.3f}"
            line += f"{shown(found['dense_speedup']):>10}"
            for rival, value in found["ratio"].items():
                line += f"{shown(value):>{max(len(rival) + 3, 10)}}"
            if found["dense_speedup"] is not None and found["dense_speedup"] < 1:
                line += "  use dense here"
            if "profile" in found:
                line += "  " + ", ".join(f"{n} {v:.0%}" for n, v in found["profile"].items())
            lines.append(line)
        spent = ", ".join(f"{rival} {ms:.3f} ms" for rival, ms in result["rival_ms"].items())
        return "\n".join([*lines, f"{'':<24}{spent}"])
