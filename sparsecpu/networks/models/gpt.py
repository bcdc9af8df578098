"""Language models: transformers that say what token comes next, as descriptions."""

from __future__ import annotations

import inspect
import math
from collections.abc import Callable
from typing import Any

from sparsecpu.errors import ParameterError
from sparsecpu.networks.description import Architecture, LayerSpec
from sparsecpu.networks.models.pieces import linear
from sparsecpu.registries.names import read_name
from sparsecpu.registries.numbers import whole

#: Normalisations of each token by the name that users give.
_NORMS = {"layer": "layer_norm", "rms": "rms_norm"}
#: Scales of first values, by fan-in, and of the head's. Measured with gpt-cpu at density 0.1 on the
#: source of Python's library, 600 steps: validation loss 2.15 with 1 and 1, 2.12 with 1 and 0.25,
#: 2.08 with 0.7 and 0.25, 2.05 with these.
_GAIN, _GAIN_OF_HEAD = 0.5, 0.25


def _entries(layers: list[LayerSpec]) -> list[dict[str, Any]]:
    """Return layers as the plain values that options of other layers hold."""
    return [{"kind": layer.kind, **layer.options} for layer in layers]


def _residual(branch: list[LayerSpec], dropout: float) -> LayerSpec:
    """Return what a block adds to its input; ``dropout`` of what is added."""
    behind = [LayerSpec("dropout", {"rate": float(dropout)})] if dropout else []
    return LayerSpec("residual", {"branch": _entries([*branch, *behind]), "shortcut": []})


def _attention(width: int, heads: int, gain: float, **options: Any) -> LayerSpec:
    """Return causal attention whose output has first values of this scale.

    Its ``options`` are left out where they say what is usual.
    """
    gains = {"query": _GAIN, "key": _GAIN, "value": _GAIN, "output": gain}
    projections = {name: _entries([linear(width, scale)]) for name, scale in gains.items()}
    return LayerSpec(
        "attention",
        {
            "features": width,
            "heads": heads,
            "causal": True,
            **projections,
            **{name: value for name, value in options.items() if value},
        },
    )


def gpt(
    input_shape: tuple[int, ...] = (64,),
    n_outputs: int = 256,
    *,
    layers: int = 4,
    heads: int = 4,
    width: int = 128,
    block: int | None = None,
    dropout: float = 0.0,
    rotary: bool = False,
    norm: str = "layer",
    group: int = 1,
    name: str = "gpt",
) -> Architecture:
    """Describe a GPT: blocks of causal attention and of two linear layers, each on a shortcut.

    Tokens and places are learnt tables, as in GPT-2; both halves of a block normalise what they
    read, and so does the last layer, which says a number for each token of the vocabulary. It has
    no bias and, unlike GPT-2's, weights of its own: those of a table cannot be sparse.

    Parameters
    ----------
    input_shape : tuple of one int
        Most tokens of a sequence, where ``block`` does not say so.
    n_outputs : int
        Tokens of the vocabulary.
    layers : int
        Blocks.
    heads : int
        Heads of attention, which share out ``width``.
    width : int
        Numbers per token.
    block : int, optional
        Most tokens of a sequence, whatever ``input_shape`` is; see ``block_of``.
    dropout : float
        Behind the tables, of the weights of attention, and of what each half of a block adds.
    rotary : bool
        Turn queries and keys by their places, in place of a learnt table of these.
    norm : {"layer", "rms"}
        Which normalisation.
    group : {1, 2, 4, 8}
        So many outputs of a layer share their inputs, once the network is made sparse.
    name : str
        What people call it.

    Returns
    -------
    Architecture
        With all weights kept.

    Raises
    ------
    ParameterError
        If a number is out of range.

    Notes
    -----
    Radford et al., Language models are unsupervised multitask learners (2019). First values are
    uniform, scaled by fan-in; those of the layers that add to the shortcut are smaller by
    ``sqrt(2 layers)``, as there, so that the sum is as large for any depth.
    """
    if len(input_shape) != 1:
        raise ParameterError("input_shape", input_shape, "text: (length,), numbers of tokens")
    norm = read_name("norm", norm, _NORMS)
    layers, heads = whole("layers", layers, 1), whole("heads", heads, 1)
    width, length = whole("width", width, 1), input_shape[0]
    if block is not None:
        length = whole("block", block, 1)
    if width % heads:
        raise ParameterError("heads", heads, f"a divisor of the width, {width}")
    normalise, smaller = LayerSpec(_NORMS[norm]), _GAIN / math.sqrt(2.0 * layers)
    described = [
        LayerSpec(
            "embedding",
            {
                "vocabulary": int(n_outputs),
                "features": width,
                "length": int(length),
                **({"positions": False} if rotary else {}),
            },
        )
    ]
    if dropout:
        described.append(LayerSpec("dropout", {"rate": float(dropout)}))
    bent = [linear(4 * width, _GAIN), LayerSpec("gelu", {"approximate": "tanh"})]
    seeing = _attention(width, heads, smaller, dropout=float(dropout), rotary=bool(rotary))
    for _ in range(layers):
        described.append(_residual([normalise, seeing], dropout))
        described.append(_residual([normalise, *bent, linear(width, smaller)], dropout))
    head = linear(n_outputs, _GAIN_OF_HEAD)
    described += [normalise, LayerSpec(head.kind, {**head.options, "bias": False})]
    return Architecture((int(length),), tuple(described), name).in_groups(group)


def block_of(described: Callable[..., Any]) -> int | None:
    """Return the most tokens of a sequence for a model, as ``find_model`` returns it.

    None for one that takes what the data has, and for one that is not for text.
    """
    block = inspect.signature(described).parameters.get("block")
    return None if block is None or block.default is inspect.Parameter.empty else block.default
