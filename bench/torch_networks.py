"""Networks of PyTorch made from our descriptions, dense, to be measured against."""

from __future__ import annotations

from typing import Any

from sparsecpu.architecture import Architecture


def torch_network(architecture: Architecture) -> Any:
    """Return the dense network of a description as a ``torch.nn.Module``.

    Parameters
    ----------
    architecture : Architecture
        The description.

    Returns
    -------
    torch.nn.Module
        Takes ``(samples, *input_shape)``.
    """
    layers = [{"kind": layer.kind, **layer.options} for layer in architecture.layers]
    return _chain(layers, architecture.input_shape)[0]


def _chain(layers: list[dict[str, Any]], shape: tuple[int, ...]) -> tuple[Any, tuple[int, ...]]:
    """Return modules in order, and the shape of what comes out."""
    from torch import nn

    from sparsecpu.layers import KINDS

    modules = []
    for entry in layers:
        options = {key: value for key, value in entry.items() if key != "kind"}
        modules.append(_module(entry["kind"], options, shape))
        shape = KINDS[entry["kind"]].trace(shape, options)[0]
    return nn.Sequential(*modules), shape


def _module(kind: str, options: dict[str, Any], shape: tuple[int, ...]) -> Any:
    from torch import nn

    if kind == "linear":
        return nn.Linear(shape[0], options["out_features"], bias=options.get("bias", True))
    if kind == "conv2d":
        chosen = {k: options[k] for k in ("stride", "padding", "groups", "bias") if k in options}
        return nn.Conv2d(shape[0], options["out_channels"], options["kernel_size"], **chosen)
    if kind == "batch_norm":
        return nn.BatchNorm2d(shape[0]) if len(shape) == 3 else nn.BatchNorm1d(shape[0])
    if kind == "residual":
        return _residual(options, shape)
    if kind == "subsample":
        return _subsample(options, shape)
    simple = {"relu": nn.ReLU, "flatten": nn.Flatten}
    if kind in simple:
        return simple[kind]()
    if kind == "dropout":
        return nn.Dropout(options.get("rate", 0.5))
    if kind in ("max_pool2d", "avg_pool2d"):
        made = nn.MaxPool2d if kind == "max_pool2d" else nn.AvgPool2d
        return made(options["kernel_size"], options.get("stride"), options.get("padding", 0))
    if kind == "global_avg_pool2d":
        return nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten())
    raise NotImplementedError(f"{kind} has no PyTorch twin here")


def _residual(options: dict[str, Any], shape: tuple[int, ...]) -> Any:
    from torch import nn

    class Residual(nn.Module):
        """The sum of two ways."""

        def __init__(self) -> None:
            super().__init__()
            self.branch = _chain(options["branch"], shape)[0]
            self.shortcut = _chain(options.get("shortcut", []), shape)[0]

        def forward(self, x):
            """Return the sum.

            Parameters
            ----------
            x : torch.Tensor
                Images.
            """
            return self.branch(x) + self.shortcut(x)

    return Residual()


def _subsample(options: dict[str, Any], shape: tuple[int, ...]) -> Any:
    from torch import nn

    class Subsample(nn.Module):
        """Every so many pixels, and channels of zeros."""

        def forward(self, x):
            """Return fewer pixels and more channels.

            Parameters
            ----------
            x : torch.Tensor
                Images.
            """
            step = options.get("stride", 2)
            edges = (0, 0, 0, 0, 0, options["channels"] - shape[0])
            return nn.functional.pad(x[:, :, ::step, ::step], edges)

    return Subsample()
