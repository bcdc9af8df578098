"""Vision transformers from and to state dicts as timm writes them: names, and q, k, v in one."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np

from sparsecpu.errors import FileFormatError, ParameterError
from sparsecpu.files.interop.prune import kept_entries
from sparsecpu.files.interop.tensors import array_tensor
from sparsecpu.files.weight_order import in_order
from sparsecpu.layers import Sequential
from sparsecpu.networks.models import vit
from sparsecpu.sparse.dense_parameter import Parameter
from sparsecpu.sparse.parameter import SparseParameter
from sparsecpu.sparse.pattern import Pattern

#: What timm's normalisations add to the variance.
_EPSILON = 1e-6


def _layers(depth: int) -> dict[str, tuple[str, int | None]]:
    """Return timm's name for each layer of ours, and which third of it ours is, if it is one."""
    found: dict[str, tuple[str, int | None]] = {"0.projection.0": ("patch_embed.proj", None)}
    for block in range(depth):
        ours, theirs = (f"{2 * block + 1}.branch", f"{2 * block + 2}.branch"), f"blocks.{block}"
        found[f"{ours[0]}.0"] = f"{theirs}.norm1", None
        for third, name in enumerate(("query", "key", "value")):
            found[f"{ours[0]}.1.{name}.0"] = f"{theirs}.attn.qkv", third
        found[f"{ours[0]}.1.output.0"] = f"{theirs}.attn.proj", None
        found[f"{ours[1]}.0"] = f"{theirs}.norm2", None
        found[f"{ours[1]}.1.up.0"] = f"{theirs}.mlp.fc1", None
        found[f"{ours[1]}.1.down.0"] = f"{theirs}.mlp.fc2", None
    return found | {f"{2 * depth + 2}": ("norm", None), f"{2 * depth + 3}": ("head", None)}


def _arrays(depth: int, read: Any) -> dict[str, np.ndarray]:
    """Return what ``read`` finds in timm's tensors, by our names of parameters."""
    found = {"0.class_token": read("cls_token").reshape(-1)}
    found["0.positions"] = read("pos_embed")
    found["0.positions"] = found["0.positions"].reshape(-1, found["0.positions"].shape[-1])
    for ours, (theirs, third) in _layers(depth).items():
        norm = "norm" in theirs.rsplit(".", 1)[-1]
        for leaf, name in (("weight", "gamma"), ("bias", "beta")):
            values = read(f"{theirs}.{leaf}")
            if third is not None:
                if len(values) % 3:
                    raise FileFormatError(f"{theirs}.{leaf} has {len(values)} rows, not 3 n")
                values = np.split(values, 3)[third]
            values = values.reshape(len(values), -1) if values.ndim > 1 else values
            found[f"{ours}.{name if norm else leaf}"] = values
    return found


def vit_from_timm(
    state: Mapping[str, Any], *, heads: int, density: float | None = None,
    distribution: str = "global", group: int = 1,
) -> Sequential:  # fmt: skip
    """Return the network of a vision transformer's state dict, as timm's ``vit_*`` have it.

    That is one with a class token and square images, in float32; the network reads images that are
    scaled as they were in training.

    Parameters
    ----------
    state : mapping of str to array_like
        The tensors: ``cls_token``, ``pos_embed``, ``patch_embed.proj.weight``,
        ``blocks.0.attn.qkv.weight`` and so on.
    heads : int
        Heads of attention, which the tensors do not tell.
    density : float, optional
        Fraction of the weights to keep, the largest ones; by default all that are not 0.
    distribution : str
        One threshold for all layers (``"global"``), or a rule that says how many each keeps.
    group : {1, 2, 4, 8}
        So many outputs of a layer share their inputs.

    Raises
    ------
    FileFormatError
        If a tensor is missing, or does not fit the others.
    ParameterError
        If an argument is out of range.
    """

    def read(name: str) -> np.ndarray:
        if name not in state:
            raise FileFormatError(f"the state dict has no {name}; expected that of a timm ViT")
        return np.asarray(state[name], dtype=np.float32)

    depth = 1 + max((int(n.split(".")[1]) for n in state if n.startswith("blocks.")), default=-1)
    arrays = _arrays(depth, read)
    features, channels, patch, _ = read("patch_embed.proj.weight").shape
    side = math.isqrt(len(arrays["0.positions"]) - 1) * patch
    inner, hidden = len(arrays["1.branch.1.query.0.weight"]), len(arrays["2.branch.1.up.0.weight"])
    if inner % heads:
        raise ParameterError("heads", heads, f"a divisor of {inner} features")
    described = vit(
        (channels, side, side), len(arrays[f"{2 * depth + 3}.weight"]), patch=patch,
        features=features, depth=depth, heads=heads, head_size=inner // heads, hidden=hidden,
        epsilon=_EPSILON,
    )  # fmt: skip
    names = in_order((n for n, values in arrays.items() if n.endswith("weight")), described)
    tensors = [array_tensor(name, arrays[name]) for name in names]
    kept = kept_entries(tensors, density, distribution, [group] * len(names))
    parameters: dict[str, Parameter] = {}
    for name, (keys, values) in zip(names, kept, strict=True):
        shape = arrays[name].shape
        full = len(keys) == math.prod(shape)
        pattern = Pattern.full(shape) if full else Pattern.from_keys(shape, keys, group=group)
        parameters[name] = SparseParameter(pattern, values)
    for name in arrays.keys() - parameters.keys():
        parameters[name] = Parameter(arrays[name].reshape(-1))
    counts = iter([parameters[name].nnz for name in names])
    return described.with_counts(counts).in_groups(group).build(parameters=parameters)


def vit_to_timm(network: Sequential) -> dict[str, np.ndarray]:
    """Return a network of ``models.vit`` with a class token as the tensors that timm would load.

    Weights are dense there; heads and the image's scale are not part of it. Normalisations of
    timm's add 1e-6 to the variance, as those of ``vit_from_timm`` do.

    Parameters
    ----------
    network : Sequential
        The network.

    Raises
    ------
    ParameterError
        If it is another one.
    """
    own, first = network.parameters(), network.layers[0]
    depth = (len(network.layers) - 4) // 2
    if "0.class_token" not in own or f"{2 * depth + 3}.weight" not in own:
        raise ParameterError("network", network, "a vit with a class token")
    thirds: dict[str, list[np.ndarray]] = {}
    for ours, (theirs, _) in _layers(depth).items():
        for leaf, name in (("weight", "gamma"), ("bias", "beta")):
            found = own.get(f"{ours}.{leaf}", own.get(f"{ours}.{name}"))
            if found is None:
                raise ParameterError("network", network, f"a vit, with {ours}.{leaf}")
            thirds.setdefault(f"{theirs}.{leaf}", []).append(_dense(found))
    state = {name: np.concatenate(parts) for name, parts in thirds.items()}
    sizes: Any = first.sizes  # type: ignore[attr-defined]
    shape = -1, sizes.channels, *sizes.patch
    state["patch_embed.proj.weight"] = state["patch_embed.proj.weight"].reshape(shape)
    state["cls_token"] = own["0.class_token"].data.reshape(1, 1, -1).copy()
    features = state["cls_token"].shape[2]
    state["pos_embed"] = own["0.positions"].data.reshape(1, -1, features).copy()
    return state


def _dense(parameter: Parameter) -> np.ndarray:
    if not isinstance(parameter, SparseParameter):
        return parameter.data.copy()
    values, pattern = np.zeros(parameter.shape, parameter.data.dtype), parameter.pattern
    values[pattern.rows(), pattern.indices] = parameter.data
    return values
