"""The tensors of GPT-2, from Hugging Face or nanoGPT, under the names of our layers."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

from sparsecpu.errors import FileFormatError
from sparsecpu.files.interop.tensors import Tensor

#: Where their tensors of block N are in our two halves of it, by the beginnings of names.
_HALVES = {
    "ln_1": (1, "0"), "attn.c_proj": (1, "1.output.0"),
    "ln_2": (2, "0"), "mlp.c_fc": (2, "1"), "mlp.c_proj": (2, "3"),
}  # fmt: skip
_PROJECTIONS = ("query", "key", "value")
_IN_BLOCK = re.compile(r"h\.(\d+)\.(.+)\.(weight|bias)")
#: What a file may hold besides: masks of attention.
_MASKS = re.compile(r"h\.\d+\.attn\.(bias|masked_bias)")


def as_ours(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return tensors under our names if they are GPT-2's, else as they are.

    A matrix of queries, keys and values becomes three; one that stands in columns, as in Hugging
    Face's files, is turned; and a head that is the table of tokens becomes a copy of it.
    """
    plain = {_stem(name): tensor for name, tensor in tensors.items()}
    if "wte.weight" not in plain or "h.0.attn.c_attn.weight" not in plain:
        return dict(tensors)
    if len(plain["wte.weight"].shape) != 2:
        raise FileFormatError("wte.weight is no table of tokens")
    fused = plain["h.0.attn.c_attn.weight"].shape
    turned = len(fused) == 2 and fused[1] == 3 * fused[0]
    blocks = 1 + max(int(found[1]) for name in plain if (found := _IN_BLOCK.fullmatch(name)))
    ends = {"wte.weight": "0.table", "wpe.weight": "0.positions"}
    ends |= {f"ln_f.{leaf}": f"{2 * blocks + 1}.{leaf}" for leaf in ("weight", "bias")}
    ends |= {"lm_head.weight": f"{2 * blocks + 2}.weight"}
    ours: dict[str, Tensor] = {}
    for name, tensor in plain.items():
        if _MASKS.fullmatch(name):
            continue
        if name in ends:
            ours[ends[name]] = tensor
        elif found := _IN_BLOCK.fullmatch(name):
            ours |= _of_block(tensor, int(found[1]), found[2], found[3], turned)
        else:
            ours[name] = tensor
    ours.setdefault(ends["lm_head.weight"], _like(plain["wte.weight"]))
    return ours


def _stem(name: str) -> str:
    for start in ("module.", "_orig_mod.", "transformer."):
        name = name.removeprefix(start)
    return name


def _of_block(tensor: Tensor, block: int, layer: str, leaf: str, turned: bool) -> dict[str, Tensor]:
    """Return our tensors for one of a block's."""
    if layer == "attn.c_attn":
        parts = _thirds(tensor, turned)
        head = f"{2 * block + 1}.branch.1"
        return {f"{head}.{name}.0.{leaf}": t for name, t in zip(_PROJECTIONS, parts, strict=True)}
    if layer not in _HALVES:
        return {f"h.{block}.{layer}.{leaf}": tensor}
    half, place = _HALVES[layer]
    turns = turned and len(tensor.shape) == 2
    return {f"{2 * block + half}.branch.{place}.{leaf}": _turned(tensor) if turns else tensor}


def _matrix(tensor: Tensor, turned: bool) -> np.ndarray:
    values = tensor.values().reshape(tensor.shape)
    return values.T if turned and values.ndim == 2 else values


def _made(name: str, source: Tensor, shape: tuple[int, ...], take: Any) -> Tensor:
    """Return a tensor made of another one, which is read when rows of it are wanted."""

    def read(start: int, stop: int) -> np.ndarray:
        return take()[start:stop].reshape(stop - start, -1)

    made = Tensor(name, shape, read)
    made.parts = (source,)
    return made


def _turned(tensor: Tensor) -> Tensor:
    shape = tensor.shape[::-1]
    return _made(tensor.name, tensor, shape, lambda: _matrix(tensor, True))


def _thirds(tensor: Tensor, turned: bool) -> Iterator[Tensor]:
    """Yield the parts of queries, keys and values."""
    shape = tensor.shape[::-1] if turned else tensor.shape
    if not shape or shape[0] % 3:
        raise FileFormatError(f"{tensor.name} has shape {tensor.shape}; expected three parts")
    rows = shape[0] // 3
    for i in range(3):
        part = slice(i * rows, (i + 1) * rows)
        yield _made(
            f"{tensor.name}[{i}]", tensor, (rows, *shape[1:]),
            lambda part=part: _matrix(tensor, turned)[part],
        )  # fmt: skip


def _like(tensor: Tensor) -> Tensor:
    """Return a second tensor with the values of another one."""
    made = Tensor(tensor.name, tensor.shape, tensor._read)
    made.parts = (tensor,)
    return made
