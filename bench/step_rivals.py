"""Whom our training steps are measured against."""

from __future__ import annotations

import contextlib
import itertools
import time
import warnings
from collections.abc import Iterator
from typing import Any, ClassVar

import numpy as np

from sparsecpu.bench.apart import TUNED_MALLOC, Apart, has_tuned_malloc
from sparsecpu.bench.dense import DenseMLP
from sparsecpu.bench.layer_clock import StepClock, watched_torch
from sparsecpu.bench.step_cases import DECAY, IMAGE, MOMENTUM, RATE, Batches, Case


class Rival:
    """A dense step of somebody else's.

    Parameters
    ----------
    case : Case
        The network.
    batches : Batches
        The samples.
    sparsity : float
        1 - density, of those that are ``sparse``.
    """

    name: ClassVar[str]
    needs: ClassVar[str | None] = None
    how: ClassVar[str] = "pip install 'sparsecpu[peers]'"

    #: Whether it works on this system.
    @staticmethod
    def usable() -> bool:
        """Return whether this machine has what it needs."""
        return True

    #: Whether it counts when the fastest dense one is looked for.
    dense: ClassVar[bool] = True
    #: Whether it is for convolutional networks, or for MLPs.
    images: ClassVar[bool] = False
    #: Whether its steps are done in the process that makes it.
    here: ClassVar[bool] = True
    #: Whether its time depends on the sparsity, so that it is made and timed for each.
    sparse: ClassVar[bool] = False

    def __init__(self, case: Case, batches: Batches, sparsity: float = 0.0) -> None:
        self.case, self.batches, self.sparsity = case, batches, sparsity
        self.setup()

    def setup(self) -> None:
        """Prepare what is not timed."""

    def step(self) -> None:
        """Gather, forward, loss, backward, update."""
        raise NotImplementedError

    def close(self) -> None:
        """Give back what ``setup`` took."""

    def watched(self, clock: StepClock) -> contextlib.AbstractContextManager[None]:
        """Tell a clock what its steps are doing, as far as it can be told.

        Parameters
        ----------
        clock : StepClock
            Whom to tell.

        Returns
        -------
        context manager
            While it lasts.
        """
        return contextlib.nullcontext()


class NumPyStep(Rival):
    """Plain NumPy on its BLAS."""

    name = "dense NumPy"

    def setup(self) -> None:
        """Make the network."""
        self.network = DenseMLP(self.case.sizes, self.case.batch)

    def step(self) -> None:
        """Do one step."""
        self.network.step(self.batches.x, self.batches.y, self.batches.next(), RATE)

    @contextlib.contextmanager
    def watched(self, clock: StepClock) -> Iterator[None]:
        """Tell a clock of each product and update; see ``Rival.watched``.

        Parameters
        ----------
        clock : StepClock
            Whom to tell.
        """
        self.network.now = clock.now
        yield
        self.network.now = str


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
            self.network.parameters(), RATE, MOMENTUM, weight_decay=DECAY, nesterov=True
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

    def watched(self, clock: StepClock) -> contextlib.AbstractContextManager[None]:
        """Tell a clock of each module; see ``Rival.watched``.

        Parameters
        ----------
        clock : StepClock
            Whom to tell.

        Returns
        -------
        context manager
            While it lasts.
        """
        return watched_torch(self.network, self.optimizer, clock)


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


class TorchImageStep(TorchStep):
    """PyTorch's convolutional network, images as they come."""

    name, needs, images = "PyTorch NCHW", "torch", True
    channels_last: ClassVar[bool] = False

    def setup(self) -> None:
        """Make the network and the optimizer."""
        import torch

        from sparsecpu.files.interop import torch_network

        torch.set_num_threads(self.case.threads)
        torch.manual_seed(0)
        form = torch.channels_last if self.channels_last else torch.contiguous_format
        self.network = torch_network(self.case.described()).to(memory_format=form)
        self.optimizer = torch.optim.SGD(
            self.network.parameters(), RATE, MOMENTUM, weight_decay=DECAY, nesterov=True
        )
        self.loss = torch.nn.CrossEntropyLoss()
        images = torch.from_numpy(self.batches.x).reshape(-1, *IMAGE)
        self.x, self.y = images.contiguous(memory_format=form), torch.from_numpy(self.batches.y)
        self.tensor = torch.from_numpy


class TorchLastStep(TorchImageStep):
    """The same, channels last."""

    name, channels_last = "PyTorch channels-last", True


class TorchTunedStep(Rival):
    """The same, with an allocator that keeps what it has; it must have a process of its own."""

    name, needs, images, here = "PyTorch tuned malloc", "torch", True, False
    usable = staticmethod(has_tuned_malloc)
    how = "needs glibc and PyTorch"

    def setup(self) -> None:
        """Start the process."""
        self.apart = Apart(TorchLastStep.name, self.case, environment=TUNED_MALLOC)
        self.clock: StepClock | None = None

    def step(self) -> None:
        """Let it do one step."""
        names, stamps = self.apart.step()
        if self.clock is not None:
            self.clock.heard(names, stamps)

    @contextlib.contextmanager
    def watched(self, clock: StepClock) -> Iterator[None]:
        """Tell a clock what the other process's clock saw; see ``Rival.watched``.

        Parameters
        ----------
        clock : StepClock
            Whom to tell.
        """
        self.clock = clock
        yield
        self.clock = None

    def close(self) -> None:
        """End the process."""
        self.apart.close()


class SparsePropStep(TorchImageStep):
    """PyTorch with SparseProp's modules, each layer in the fastest of its forms or dense."""

    name, needs, dense, sparse = "SparseProp", "sparseprop", False, True
    how = "build https://pypi.org/project/sparseprop by hand (Linux)"

    def setup(self) -> None:
        """Make the network with our weights, time each convolution, and keep the fastest."""
        super().setup()
        import torch
        from sparseprop.modules import SparseConv2d

        from sparsecpu.files.interop import to_torch

        described = self.case.described().sparsify(1 - self.sparsity, self.case.distribution)
        network = to_torch(described.build(np.random.default_rng(0))).train()
        seen: dict[str, Any] = {}
        hooks = [
            module.register_forward_hook(lambda _, x, __, name=name: seen.update({name: x[0]}))
            for name, module in network.named_modules()
            if isinstance(module, torch.nn.Conv2d)
        ]
        network(self.x[self.batches.order[0]])
        for hook in hooks:
            hook.remove()
        for name, x in seen.items():
            conv, (place, _, last) = network.get_submodule(name), name.rpartition(".")
            forms = [conv, *(SparseConv2d.from_dense(conv, over) for over in (False, True))]
            best = min(forms, key=lambda form: _seconds(form, x.detach()))
            setattr(network.get_submodule(place), last, best)
        self.network = network
        self.optimizer = torch.optim.SGD(
            network.parameters(), RATE, MOMENTUM, weight_decay=DECAY, nesterov=True
        )


def _seconds(module: Any, x: Any) -> float:
    """Return the least of three times of forward and backward pass."""
    times = []
    for _ in range(3):
        leaf = x.clone().requires_grad_()
        start = time.perf_counter()
        module(leaf).sum().backward()
        times.append(time.perf_counter() - start)
    return min(times)


class ScikitStep(Rival):
    """scikit-learn's MLPClassifier, one ``partial_fit`` per step (no threads of its own)."""

    name = "scikit-learn"

    def setup(self) -> None:
        """Make the network."""
        from sklearn.neural_network import MLPClassifier

        self.network = MLPClassifier(
            self.case.sizes[1:-1], solver="sgd", batch_size=self.case.batch, momentum=MOMENTUM,
            learning_rate_init=RATE, alpha=DECAY, random_state=0,
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
RIVALS: tuple[type[Rival], ...] = (
    NumPyStep, ScikitStep, TorchStep, MaskedStep, TorchImageStep, TorchLastStep, TorchTunedStep,
    SparsePropStep,
)  # fmt: skip
