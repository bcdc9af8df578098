"""One convolution in other libraries."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ClassVar

from sparsecpu.bench.cases import ConvCase
from sparsecpu.bench.rivals.base import SPARSEPROP, Rival


class ConvRival(Rival):
    """A convolution, forward and backward; sparse ones get the weights of our layer."""

    needs = "torch"
    forward: Callable[[], object]
    backward: Callable[[], object]

    def __init__(self, case: ConvCase, weight: Any) -> None:
        self.setup(case, weight)

    def setup(self, case: ConvCase, weight: Any) -> None:
        """Make ``forward`` and ``backward``."""
        raise NotImplementedError

    def parts(self) -> dict[str, Callable[[], object]]:
        """Return what is timed: forward, and dx and dW at once."""
        return {"forward": self.forward, "dx+dw": self.backward}


class TorchConv(ConvRival):
    """PyTorch's convolution, images as they come."""

    name = "NCHW"
    layout: ClassVar[str] = "contiguous_format"

    def setup(self, case: ConvCase, weight: Any) -> None:
        import torch

        torch.set_num_threads(case.threads)
        layout = getattr(torch, self.layout)
        sizes = case.batch, case.channels, case.side, case.side
        kind = torch.bfloat16 if self.precision == "bf16" else torch.float32
        x = torch.randn(sizes).contiguous(memory_format=layout).to(kind)
        w = torch.randn(case.filters, case.channels, case.kernel, case.kernel)
        w = w.contiguous(memory_format=layout).to(kind)
        stride, padding = case.stride, case.kernel // 2
        self.forward = lambda: torch.nn.functional.conv2d(x, w, stride=stride, padding=padding)
        dy = torch.randn_like(self.forward())
        edge, step = [padding] * 2, [stride] * 2
        backward = torch.ops.aten.convolution_backward
        self.backward = lambda: backward(
            dy, x, w, None, step, edge, [1, 1], False, [0, 0], 1, [True, True, False]
        )


class TorchChannelsLastConv(TorchConv):
    """PyTorch's convolution, the channels of a pixel side by side in memory."""

    name, layout = "channels-last", "channels_last"


class BFloat16Conv(TorchConv):
    """The first in bfloat16; all operands lie ready in 16 bits."""

    name, precision = "NCHW bf16", "bf16"


class BFloat16ChannelsLastConv(TorchChannelsLastConv):
    """The second in bfloat16."""

    name, precision = "channels-last bf16", "bf16"


class SparsePropConv(ConvRival):
    """SparseProp's convolution under PyTorch, vectorised over samples."""

    name, needs, how, dense = "SparseProp samples", "sparseprop", SPARSEPROP, False
    over_pixels: ClassVar[bool] = False

    def setup(self, case: ConvCase, weight: Any) -> None:
        import torch
        from sparseprop.modules import SparseConv2d

        full, pattern = torch.zeros(weight.shape), weight.pattern
        full.numpy()[pattern.rows(), pattern.indices] = weight.data
        filters = full.reshape(case.filters, case.channels, case.kernel, case.kernel)
        layer = SparseConv2d(filters, None, case.kernel // 2, case.stride, self.over_pixels)
        x = torch.randn(case.batch, case.channels, case.side, case.side, requires_grad=True)
        y = layer(x)
        dy, wanted = torch.randn_like(y), [x, layer.W_val]
        self.forward = lambda: layer(x)
        self.backward = lambda: torch.autograd.grad(y, wanted, dy, retain_graph=True)


class SparsePropPixelConv(SparsePropConv):
    """The same, vectorised over pixels."""

    name, over_pixels = "SparseProp pixels", True


#: A new rival is one class above and one entry here.
RIVALS: tuple[type[ConvRival], ...] = (
    TorchConv,
    TorchChannelsLastConv,
    BFloat16Conv,
    BFloat16ChannelsLastConv,
    SparsePropConv,
    SparsePropPixelConv,
)
