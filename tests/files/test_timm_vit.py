"""Vision transformers as timm's state dicts."""

import numpy as np
import pytest

from sparsecpu.errors import FileFormatError, ParameterError
from sparsecpu.interop import vit_from_timm, vit_to_timm

D, HEADS, DEPTH, HIDDEN, PATCH, CHANNELS, SIDE, CLASSES = 8, 2, 2, 12, 4, 3, 8, 5


def state_of_timm():
    """Return tensors with the names and shapes of a small timm ``VisionTransformer``."""
    rng = np.random.default_rng(0)
    shapes = {"cls_token": (1, 1, D), "pos_embed": (1, 5, D),
              "patch_embed.proj.weight": (D, CHANNELS, PATCH, PATCH), "patch_embed.proj.bias": (D,),
              "norm.weight": (D,), "norm.bias": (D,),
              "head.weight": (CLASSES, D), "head.bias": (CLASSES,)}  # fmt: skip
    for i in range(DEPTH):
        for name, shape in {
            "norm1": (D,), "attn.qkv": (3 * D, D), "attn.proj": (D, D),
            "norm2": (D,), "mlp.fc1": (HIDDEN, D), "mlp.fc2": (D, HIDDEN),
        }.items():  # fmt: skip
            shapes[f"blocks.{i}.{name}.weight"] = shape
            shapes[f"blocks.{i}.{name}.bias"] = shape[:1]
    return {n: rng.standard_normal(s).astype(np.float32) for n, s in shapes.items()}


def forward_of_timm(state, x):
    """Return what timm's ``VisionTransformer.forward`` does with them."""
    torch = pytest.importorskip("torch")
    functional, t = torch.nn.functional, {n: torch.from_numpy(v) for n, v in state.items()}

    def linear(name, x):
        return functional.linear(x, t[f"{name}.weight"], t[f"{name}.bias"])

    def norm(name, x):
        return functional.layer_norm(x, (D,), t[f"{name}.weight"], t[f"{name}.bias"], 1e-6)

    cut = functional.conv2d(torch.from_numpy(x), t["patch_embed.proj.weight"],
                            t["patch_embed.proj.bias"], stride=PATCH)  # fmt: skip
    x = torch.cat([t["cls_token"].expand(len(x), -1, -1), cut.flatten(2).transpose(1, 2)], 1)
    x = x + t["pos_embed"]
    for i in range(DEPTH):
        samples, tokens, _ = x.shape
        qkv = linear(f"blocks.{i}.attn.qkv", norm(f"blocks.{i}.norm1", x))
        qkv = qkv.reshape(samples, tokens, 3, HEADS, D // HEADS).permute(2, 0, 3, 1, 4)
        a = functional.scaled_dot_product_attention(*qkv.unbind(0))
        x = x + linear(f"blocks.{i}.attn.proj", a.transpose(1, 2).reshape(samples, tokens, D))
        inner = linear(f"blocks.{i}.mlp.fc1", norm(f"blocks.{i}.norm2", x))
        x = x + linear(f"blocks.{i}.mlp.fc2", functional.gelu(inner))
    return linear("head", norm("norm", x)[:, 0]).numpy()


def images(count=3):
    return np.random.default_rng(1).standard_normal((count, CHANNELS, SIDE, SIDE), np.float32)


def test_a_dense_one_predicts_the_same_and_goes_back():
    state, x = state_of_timm(), images()
    network = vit_from_timm(state, heads=HEADS)
    assert network.density == 1
    np.testing.assert_allclose(network.predict(x), forward_of_timm(state, x), atol=1e-4)
    back = vit_to_timm(network)
    assert back.keys() == state.keys()
    assert all(np.array_equal(back[name], state[name]) for name in state)


@pytest.mark.parametrize("group", [1, 2])
def test_a_pruned_one_goes_out_and_in(group):
    network = vit_from_timm(state_of_timm(), heads=HEADS, density=0.3, group=group)
    assert network.density == pytest.approx(0.3, abs=0.02)
    back, x = vit_to_timm(network), images()
    np.testing.assert_allclose(network.predict(x), forward_of_timm(back, x), atol=1e-4)
    again = vit_from_timm(back, heads=HEADS, group=group)
    assert again.nnz == network.nnz
    assert np.array_equal(again.predict(x), network.predict(x))


def test_what_does_not_fit_is_refused():
    state = state_of_timm()
    with pytest.raises(ParameterError):
        vit_from_timm(state, heads=3)
    with pytest.raises(FileFormatError):
        vit_from_timm({n: v for n, v in state.items() if n != "norm.bias"}, heads=HEADS)
    with pytest.raises(FileFormatError):
        vit_from_timm({}, heads=HEADS)
