"""What a network computes, once more in PyTorch, from the weights alone and layer by layer.

Nothing here knows how our layers compute, except in which order dropout draws.
"""

from typing import Any

import naive
import numpy as np
import torch
from architectures import KINDS, Case

from sparsecpu.losses import SigmoidCrossEntropy, SquaredError
from sparsecpu.sparse.parameter import SparseParameter


class Twin:
    """The network of a case with parameters of its own; ``own`` is dropout's type of number."""

    functional = torch.nn.functional

    def __init__(self, case: Case, dtype: Any) -> None:
        self.case, self.network = case, case.network
        self.kind = torch.float64 if np.dtype(dtype) == np.float64 else torch.float32
        self.leaves = {
            name: self._tensor(_dense(p)).requires_grad_()
            for name, p in self.network.parameters().items()
        }
        self.buffers = {
            name: self._tensor(b.astype(np.float64)) for name, b in self.network.buffers().items()
        }
        self.train = False
        self.rng = np.random.default_rng(0)

    def _tensor(self, array: np.ndarray) -> torch.Tensor:
        return torch.from_numpy(np.array(array)).to(self.kind)

    def forward(self) -> torch.Tensor:
        """Return the outputs, (samples, n_outputs)."""
        self.rng = np.random.default_rng(0)  # as ``loss_and_gradients`` has it
        x = self._tensor(self.case.x).reshape(len(self.case.x), *self.network.input_shape)
        return self.chain(self.network, "", x).flatten(1)

    def predict(self) -> np.ndarray:
        """Return the outputs outside of training."""
        self.train = False
        with torch.no_grad():
            return self.forward().numpy().astype(np.float64)

    def loss_and_gradients(self, train: bool) -> tuple[float, dict[str, np.ndarray]]:
        """Return the loss and, by parameter, the gradient; of weights, at their nonzeros."""
        self.train = train
        loss, case = self._loss(self.forward()), self.case
        for leaf in self.leaves.values():
            leaf.grad = None
        if loss.requires_grad:
            loss.backward()
        found = {}
        for name, parameter in case.network.parameters().items():
            grad = self.leaves[name].grad
            dense = np.zeros(self.leaves[name].shape) if grad is None else grad.numpy()
            found[name] = _at_nonzeros(parameter, dense.astype(np.float64))
        return loss.item(), found

    def _loss(self, z: torch.Tensor) -> torch.Tensor:
        loss, count = self.case.loss, len(z)
        if isinstance(loss, SquaredError):
            return ((z - self._tensor(self.case.y)) ** 2).sum() / 2 / count
        if isinstance(loss, SigmoidCrossEntropy):
            entropy = self.functional.binary_cross_entropy_with_logits
            return entropy(z, self._tensor(self.case.y), reduction="sum") / count
        return self.functional.cross_entropy(
            z, torch.from_numpy(self.case.y), label_smoothing=loss.label_smoothing
        )

    def chain(self, chain: Any, name: str, x: torch.Tensor) -> torch.Tensor:
        for key, layer in chain.children().items():
            x = KINDS[layer.kind].twin(self, layer, f"{name}{key}.", x)
        return x

    def branches(self, layer: Any, name: str, x: torch.Tensor) -> torch.Tensor:
        return sum(self.chain(c, f"{name}{key}.", x) for key, c in layer.children().items())

    def linear(self, layer: Any, name: str, x: torch.Tensor) -> torch.Tensor:
        return self.functional.linear(x, self.leaves[f"{name}weight"],
                                      self.leaves.get(f"{name}bias"))  # fmt: skip

    def conv(self, layer: Any, name: str, x: torch.Tensor) -> torch.Tensor:
        per_group = x.shape[1] // layer.groups
        weight = self.leaves[f"{name}weight"].reshape(-1, per_group, *layer.kernel)
        return self.functional.conv2d(x, weight, self.leaves.get(f"{name}bias"), layer.stride,
                                      layer.padding, groups=layer.groups)  # fmt: skip

    def norm(self, layer: Any, name: str, x: torch.Tensor) -> torch.Tensor:
        gamma, beta = self.leaves[f"{name}gamma"], self.leaves[f"{name}beta"]
        mean, variance = (self.buffers[f"{name}running_{key}"] for key in ("mean", "variance"))
        if self.train and x.numel() == x.shape[1]:  # PyTorch refuses one number per channel
            mean.lerp_(x.detach().reshape(-1), layer.momentum)
            variance.mul_(1 - layer.momentum)
            return 0 * (x * gamma.reshape(1, -1, *(1,) * (x.ndim - 2))) + beta.reshape(
                1, -1, *(1,) * (x.ndim - 2)
            )
        return self.functional.batch_norm(x, mean, variance, gamma, beta, self.train,
                                          layer.momentum, layer.epsilon)  # fmt: skip

    def dropout(self, layer: Any, x: torch.Tensor) -> torch.Tensor:
        """Draw as we do: in the order of memory, tiles with their padding."""
        if not self.train or layer.rate == 0:
            return x
        lanes, samples = self.network.lanes(len(x)), x.shape[0]
        tiles = -(-samples // lanes)
        if x.ndim == 4:
            channels, height, width = x.shape[1:]
            shape: tuple = (tiles, height, channels, width, lanes)
        else:
            shape = (tiles, *x.shape[1:], lanes)
        drawn = np.empty(shape, self.network.dtype)
        self.rng.random(out=drawn, dtype=drawn.dtype)
        kept = drawn >= np.asarray(layer.rate, drawn.dtype)
        back = naive.from_planes if x.ndim == 4 else naive.from_tiles
        return x * self._tensor(back(kept, samples)) / (1 - layer.rate)

    def subsample(self, layer: Any, x: torch.Tensor) -> torch.Tensor:
        step, more = layer.stride, layer.channels - x.shape[1]
        return self.functional.pad(x[:, :, ::step, ::step], (0, 0, 0, 0, 0, more))


def _dense(parameter: Any) -> np.ndarray:
    if not isinstance(parameter, SparseParameter):
        return parameter.data.astype(np.float64)
    pattern = parameter.pattern
    return naive.dense(pattern.shape, pattern.indptr, pattern.indices, parameter.data)


def _at_nonzeros(parameter: Any, dense: np.ndarray) -> np.ndarray:
    if not isinstance(parameter, SparseParameter):
        return dense
    return naive.at_nonzeros(dense, parameter.pattern.indptr, parameter.pattern.indices)
