"""Training steps of PyTorch on text."""

from __future__ import annotations

from typing import Any

from sparsecpu.bench.cases import LEARNING_RATE, WEIGHT_DECAY
from sparsecpu.bench.rivals.steps.torch import TorchStep
from sparsecpu.bench.rivals.torch_gpt import onednn_linear, torch_gpt


class TorchTextStep(TorchStep):
    """PyTorch's language model, with AdamW in one pass."""

    name, text = "PyTorch GPT", True

    def setup(self) -> None:
        import torch

        super().setup()
        cross_entropy = torch.nn.functional.cross_entropy
        self.loss = lambda z, y: cross_entropy(z.flatten(0, 1), y.flatten())
        self.optimizer = torch.optim.AdamW(
            self.network.parameters(), LEARNING_RATE, weight_decay=WEIGHT_DECAY, fused=True
        )

    def make_network(self) -> Any:
        return torch_gpt(self.case, self.linear())

    def linear(self) -> Any:
        """Return what computes linear layers, None for PyTorch's own choice."""
        return None


class OneDNNTextStep(TorchTextStep):
    """The same with all linear layers through oneDNN."""

    name = "PyTorch GPT oneDNN"

    def linear(self) -> Any:
        return onednn_linear()


class AutocastTextStep(TorchTextStep):
    """The same under autocast."""

    name, precision = "PyTorch GPT bf16", "bf16"
