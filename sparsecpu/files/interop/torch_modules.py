"""PyTorch modules made from our descriptions; all their weights are dense."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from sparsecpu.errors import ParameterError
from sparsecpu.files.interop import torch_tokens
from sparsecpu.files.interop.names import torch_name
from sparsecpu.files.interop.torch_files import require_torch
from sparsecpu.layers import KINDS, Sequential
from sparsecpu.layers.network.sizes import spec_of_samples
from sparsecpu.networks.description import Architecture, LayerSpec
from sparsecpu.sparse.parameter import SparseParameter

Shape = tuple[int, ...]
Options = dict[str, Any]


def torch_network(architecture: Architecture) -> Any:
    """Return the dense network of a description as a ``torch.nn.Module`` with new weights.

    It takes samples of shape ``(samples, *input_shape)``; of text, int64, all of them as long.

    Parameters
    ----------
    architecture : Architecture
        The description.

    Raises
    ------
    ParameterError
        If a layer has no entry in ``MODULES``.
    MissingExtraError
        Without PyTorch.
    """
    require_torch("a PyTorch network")
    shape = spec_of_samples(architecture.input_shape).shape
    return chain_of(_entries(architecture.layers), shape)


def to_torch(network: Sequential) -> Any:
    """Return a plain PyTorch module that predicts what a network predicts, in evaluation mode.

    It takes samples of shape ``(samples, *input_shape)``, float32 or float64 as the network does.
    The keys of its ``state_dict`` are our names, except for PyTorch's own names in normalisations:
    ``0.weight``, ``1.running_var``. Weights are dense; the scale of the inputs, if any, is kept in
    the buffers ``input_offset`` and ``input_scale``.

    Parameters
    ----------
    network : Sequential
        The network.

    Raises
    ------
    ParameterError
        If a layer cannot be described, or has no entry in ``MODULES``.
    MissingExtraError
        Without PyTorch.
    """
    torch = require_torch("to_torch")
    layers = torch_network(Architecture.of(network))
    module = _scaled(layers, network, torch) if network.offset.size else layers
    module = module.to(torch.float64 if network.dtype == np.float64 else torch.float32)
    state = module.state_dict()
    with torch.no_grad():
        for name, parameter in network.parameters().items():
            values = state[torch_name(name)].numpy()
            if isinstance(parameter, SparseParameter):
                pattern = parameter.pattern
                values[...] = 0
                values.reshape(pattern.shape)[pattern.rows(), pattern.indices] = parameter.data
            else:
                values.reshape(-1)[...] = parameter.data.reshape(-1)
        for name, buffer in network.buffers().items():
            state[torch_name(name)].numpy()[...] = buffer
    return module.eval()


def _scaled(layers: Any, network: Sequential, torch: Any) -> Any:
    """Return the layers under the same names, with the scale of the inputs in front."""

    class Scaled(torch.nn.Sequential):
        """Reads ``(x - input_offset) * input_scale``."""

        def forward(self, x):
            """Return the outputs."""
            return super().forward((x - self.input_offset) * self.input_scale)

    made = Scaled(*layers)
    for name, values in (("input_offset", network.offset), ("input_scale", network.scale)):
        made.register_buffer(name, torch.from_numpy(values.reshape(network.input_shape).copy()))
    return made


def _entries(layers: tuple[LayerSpec, ...]) -> list[Options]:
    return [{"kind": layer.kind, **layer.options} for layer in layers]


def chain_of(entries: list[Options], shape: Shape) -> Any:
    """Return the modules of layers in order, for samples of a shape."""
    from torch import nn

    modules = []
    for entry in entries:
        options = {key: value for key, value in entry.items() if key != "kind"}
        if entry["kind"] not in MODULES:
            expected = "a layer that PyTorch has too (add it to interop.MODULES)"
            raise ParameterError("layer kind", entry["kind"], expected)
        modules.append(MODULES[entry["kind"]](nn, shape, options))
        shape = KINDS[entry["kind"]].trace(shape, options)[0]
    return nn.Sequential(*modules)


def _linear(nn: Any, shape: Shape, options: Options) -> Any:
    return nn.Linear(shape[0], options["out_features"], bias=options.get("bias", True))


def _conv(nn: Any, shape: Shape, options: Options) -> Any:
    chosen = {k: options[k] for k in ("stride", "padding", "groups", "bias") if k in options}
    return nn.Conv2d(shape[0], options["out_channels"], options["kernel_size"], **chosen)


def _norm(nn: Any, shape: Shape, options: Options) -> Any:
    made = nn.BatchNorm2d if len(shape) == 3 else nn.BatchNorm1d
    return made(shape[0], options.get("epsilon", 1e-5), options.get("momentum", 0.1))


def _pool(name: str) -> Callable[[Any, Shape, Options], Any]:
    def make(nn: Any, shape: Shape, options: Options) -> Any:
        sizes = options["kernel_size"], options.get("stride"), options.get("padding", 0)
        return getattr(nn, name)(*sizes)

    return make


def _all_relu(nn: Any, shape: Shape, options: Options) -> Any:
    from sparsecpu.layers import AllReLU

    return nn.LeakyReLU(AllReLU(**options).alpha)


def _residual(nn: Any, shape: Shape, options: Options) -> Any:
    class Residual(nn.Module):
        """The sum of a branch and a shortcut."""

        def __init__(self) -> None:
            super().__init__()
            self.branch = chain_of(options["branch"], shape)
            self.shortcut = chain_of(options.get("shortcut", []), shape)

        def forward(self, x):
            """Return the sum."""
            return self.branch(x) + self.shortcut(x)

    return Residual()


def _parallel(nn: Any, shape: Shape, options: Options) -> Any:
    class Parallel(nn.Module):
        """The sum of several branches."""

        def __init__(self) -> None:
            super().__init__()
            self.branches = nn.ModuleList(chain_of(one, shape) for one in options["branches"])

        def forward(self, x):
            """Return the sum."""
            return sum(branch(x) for branch in self.branches)

    return Parallel()


def _subsample(nn: Any, shape: Shape, options: Options) -> Any:
    class Subsample(nn.Module):
        """Every second pixel (or as the stride says), with channels of zeros appended."""

        def forward(self, x):
            """Return fewer pixels and more channels."""
            step = options.get("stride", 2)
            edges = (0, 0, 0, 0, 0, options["channels"] - shape[0])
            return nn.functional.pad(x[:, :, ::step, ::step], edges)

    return Subsample()


#: How to make a module for each kind of layer: a function of ``torch.nn``, the shape of an input
#: sample, and the layer's options. Add your own layers here.
MODULES: dict[str, Callable[[Any, Shape, Options], Any]] = {
    "linear": _linear,
    "conv2d": _conv,
    "batch_norm": _norm,
    "layer_norm": lambda nn, s, options: nn.LayerNorm(s[0], options.get("epsilon", 1e-5)),
    "rms_norm": lambda nn, s, options: nn.RMSNorm(s[0], options.get("epsilon", 1e-6)),
    "max_pool2d": _pool("MaxPool2d"),
    "avg_pool2d": _pool("AvgPool2d"),
    "global_avg_pool2d": lambda nn, _, __: nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten()),
    "flatten": lambda nn, _, __: nn.Flatten(),
    "dropout": lambda nn, _, options: nn.Dropout(options.get("rate", 0.5)),
    "identity": lambda nn, _, __: nn.Identity(),
    "relu": lambda nn, _, __: nn.ReLU(),
    "leaky_relu": lambda nn, _, options: nn.LeakyReLU(options.get("alpha", 0.01)),
    "all_relu": _all_relu,
    "tanh": lambda nn, _, __: nn.Tanh(),
    "sigmoid": lambda nn, _, __: nn.Sigmoid(),
    "gelu": lambda nn, _, options: nn.GELU(options.get("approximate", "none")),
    "silu": lambda nn, _, __: nn.SiLU(),
    "residual": _residual,
    "subsample": _subsample,
    "parallel": _parallel,
    "attention": torch_tokens.attention,
    "feed_forward": torch_tokens.feed_forward,
    "patch_embedding": torch_tokens.patch_embedding,
    "embedding": torch_tokens.embedding,
    "mean_tokens": torch_tokens.pooling(first=False),
    "class_token": torch_tokens.pooling(first=True),
}
