"""Training steps of PyTorch: dense, masked, and of convolutional networks."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from typing import Any, ClassVar

from sparsecpu.bench.cases import IMAGE, LEARNING_RATE, MOMENTUM, WEIGHT_DECAY
from sparsecpu.bench.measuring.step_clock import StepClock, watched_torch
from sparsecpu.bench.rivals.networks import StepRival
from sparsecpu.bench.rivals.step_process import TUNED_MALLOC, StepProcess, has_tuned_malloc


class TorchStep(StepRival):
    """PyTorch as users write it."""

    name, needs = "dense PyTorch", "torch"
    #: How images lie in memory.
    layout: ClassVar[str] = "contiguous_format"

    def setup(self) -> None:
        import torch

        torch.set_num_threads(self.case.threads)
        torch.manual_seed(0)
        x = torch.from_numpy(self.batches.x)
        if self.images:
            x = x.reshape(-1, *IMAGE).contiguous(memory_format=getattr(torch, self.layout))
        self.x, self.y = x, torch.from_numpy(self.batches.y)
        self.loss: Callable[[Any, Any], Any] = torch.nn.CrossEntropyLoss()
        self.network = self.make_network().to(memory_format=getattr(torch, self.layout))
        self.optimizer: torch.optim.Optimizer = torch.optim.SGD(
            self.network.parameters(), LEARNING_RATE, MOMENTUM, weight_decay=WEIGHT_DECAY,
            nesterov=True,
        )  # fmt: skip

    def make_network(self) -> Any:
        """Return the module to train."""
        from sparsecpu.interop import torch_network

        return torch_network(self.case.described())

    def step(self) -> None:
        import torch

        rows = torch.from_numpy(self.batches.next())
        self.optimizer.zero_grad()
        with self.arithmetic():
            loss = self.loss(self.network(self.x[rows]), self.y[rows])
        loss.backward()
        self.update()

    def arithmetic(self) -> contextlib.AbstractContextManager[None]:
        """Return the context of the forward pass: autocast, where products are in bfloat16."""
        if self.precision == "fp32":
            return contextlib.nullcontext()
        import torch

        return torch.autocast("cpu", torch.bfloat16)

    def update(self) -> None:
        """Change the weights by their gradients."""
        self.optimizer.step()

    def watched(self, clock: StepClock) -> contextlib.AbstractContextManager[None]:
        return watched_torch(self.network, self.optimizer, clock)


class AutocastStep(TorchStep):
    """PyTorch under autocast: products in bfloat16, weights and their update in float32."""

    name, precision = "dense PyTorch bf16", "bf16"


class MaskedStep(TorchStep):
    """PyTorch as sparse training is usually simulated: a mask on gradients and weights."""

    name, dense = "masked PyTorch", False

    def setup(self) -> None:
        super().setup()
        import torch

        weights = [p for p in self.network.parameters() if p.dim() == 2]
        # Of density 5 %: the time does not depend on it.
        self.masks = [(w, (torch.rand_like(w) < 0.05).float()) for w in weights]
        self._mask_weights()

    def _mask_weights(self) -> None:
        for weight, mask in self.masks:
            weight.data.mul_(mask)

    def update(self) -> None:
        for weight, mask in self.masks:
            weight.grad.mul_(mask)
        super().update()
        self._mask_weights()


class TorchImageStep(TorchStep):
    """PyTorch's convolutional network, images as they come."""

    name, images = "PyTorch NCHW", True


class TorchChannelsLastStep(TorchImageStep):
    """PyTorch's convolutional network, the channels of a pixel side by side in memory."""

    name, layout = "PyTorch channels-last", "channels_last"


class AutocastImageStep(TorchImageStep):
    """PyTorch's convolutional network under autocast, images as they come."""

    name, precision = "PyTorch NCHW bf16", "bf16"


class AutocastChannelsLastStep(TorchChannelsLastStep):
    """PyTorch's convolutional network under autocast, channels last."""

    name, precision = "PyTorch channels-last bf16", "bf16"


class TorchTunedStep(StepRival):
    """Channels last in a process of its own, whose allocator keeps the memory that is freed."""

    name, needs, images, here = "PyTorch tuned malloc", "torch", True, False
    how = "needs glibc and PyTorch"
    #: What runs in that process.
    runs: ClassVar[type[StepRival]] = TorchChannelsLastStep

    @classmethod
    def is_installed(cls) -> bool:
        return has_tuned_malloc() and super().is_installed()

    def setup(self) -> None:
        self.process = StepProcess(self.runs.name, self.case, environment=TUNED_MALLOC)
        self.clock: StepClock | None = None

    def step(self) -> None:
        names, stamps = self.process.step()
        if self.clock is not None:
            self.clock.take_over(names, stamps)

    @contextlib.contextmanager
    def watched(self, clock: StepClock) -> Iterator[None]:
        self.clock = clock
        yield
        self.clock = None

    def close(self) -> None:
        self.process.close()


class AutocastTunedStep(TorchTunedStep):
    """The same under autocast."""

    name, precision, runs = "PyTorch tuned malloc bf16", "bf16", AutocastChannelsLastStep
