"""Predictions of other libraries."""

from __future__ import annotations

import itertools
from typing import ClassVar

import numpy as np

from sparsecpu.bench.cases import IMAGE
from sparsecpu.bench.rivals.networks import PredictionRival
from sparsecpu.bench.rivals.torch_gpt import torch_gpt


class NumPyPrediction(PredictionRival):
    """Plain NumPy on its BLAS."""

    name = "dense NumPy"

    def setup(self) -> None:
        rng, sizes = np.random.default_rng(0), self.case.sizes
        self.layers = [
            (rng.standard_normal((a, b), dtype=np.float32) / np.float32(a) ** 0.5,
             np.zeros(b, np.float32))
            for a, b in itertools.pairwise(sizes)
        ]  # fmt: skip

    def predict(self) -> object:
        h = self.x
        for weight, bias in self.layers:
            z = h @ weight
            z += bias
            h = np.maximum(z, 0, out=z)
        return z


class TorchPrediction(PredictionRival):
    """PyTorch as users write it, under ``inference_mode``."""

    name, needs = "dense PyTorch", "torch"

    def setup(self) -> None:
        import torch

        from sparsecpu.interop import torch_network

        torch.set_num_threads(self.case.threads)
        torch.manual_seed(0)
        self.torch, self.network = torch, torch_network(self.case.described()).eval()
        self.tensor = torch.from_numpy(self.x)

    def predict(self) -> object:
        with self.torch.inference_mode():
            return self.network(self.tensor)


class BFloat16Prediction(TorchPrediction):
    """PyTorch with its weights in bfloat16; rounding the samples is timed."""

    name, precision = "dense PyTorch bf16", "bf16"

    def setup(self) -> None:
        super().setup()
        self.network = self.network.to(self.torch.bfloat16)

    def predict(self) -> object:
        with self.torch.inference_mode():
            return self.network(self.tensor.to(self.torch.bfloat16))


class MaskedPrediction(TorchPrediction):
    """PyTorch as sparse networks are usually kept: weights times their mask, each time."""

    name, dense = "masked PyTorch", False

    def setup(self) -> None:
        super().setup()
        linear = [m for m in self.network if isinstance(m, self.torch.nn.Linear)]
        # Of density 5 %: the time does not depend on it.
        self.layers = [(m, (self.torch.rand_like(m.weight) < 0.05).float()) for m in linear]

    def predict(self) -> object:
        with self.torch.inference_mode():
            h = self.tensor
            for layer, mask in self.layers:
                z = self.torch.nn.functional.linear(h, layer.weight * mask, layer.bias)
                h = z.relu()
            return z


class TorchImagePrediction(TorchPrediction):
    """PyTorch's convolutional network, images as they come."""

    name, images = "PyTorch NCHW", True
    #: How images lie in memory.
    layout: ClassVar[str] = "contiguous_format"

    def setup(self) -> None:
        super().setup()
        layout = getattr(self.torch, self.layout)
        self.network = self.network.to(memory_format=layout)
        self.tensor = self.tensor.reshape(-1, *IMAGE).contiguous(memory_format=layout)


class TorchChannelsLastPrediction(TorchImagePrediction):
    """PyTorch's convolutional network, the channels of a pixel side by side in memory."""

    name, layout = "PyTorch channels-last", "channels_last"


class BFloat16ImagePrediction(BFloat16Prediction, TorchImagePrediction):
    """PyTorch's convolutional network in bfloat16, images as they come."""

    name = "PyTorch NCHW bf16"


class BFloat16ChannelsLastPrediction(BFloat16Prediction, TorchChannelsLastPrediction):
    """PyTorch's convolutional network in bfloat16, channels last."""

    name = "PyTorch channels-last bf16"


class TorchToken(PredictionRival):
    """PyTorch's language model: one token more of each stream, with kept keys and values."""

    name, needs, text = "PyTorch GPT", "torch", True

    def setup(self) -> None:
        import torch

        torch.set_num_threads(self.case.threads)
        self.torch, self.half = torch, self.case.sizes[0] // 2
        self.network = torch_gpt(self.case).eval()
        self.memory = self.network.memory(self.case.batch)
        self.ids = torch.from_numpy(self.x)[:, None]

    def predict(self) -> object:
        with self.torch.inference_mode():
            return self.network.step(self.ids, self.memory, self.half)


class BFloat16Token(TorchToken):
    """The same in bfloat16, as everything is kept."""

    name, precision = "PyTorch GPT bf16", "bf16"

    def setup(self) -> None:
        super().setup()
        self.network = self.network.to(self.torch.bfloat16)
        self.memory = [kept.to(self.torch.bfloat16) for kept in self.memory]


#: A new rival is one class above and one entry here.
RIVALS: tuple[type[PredictionRival], ...] = (
    NumPyPrediction,
    TorchPrediction,
    BFloat16Prediction,
    MaskedPrediction,
    TorchImagePrediction,
    TorchChannelsLastPrediction,
    BFloat16ImagePrediction,
    BFloat16ChannelsLastPrediction,
    TorchToken,
    BFloat16Token,
)
