"""Attention as a layer: gradients, PyTorch, files, threads."""

import tracemalloc

import numpy as np
import pytest

from sparsecpu.errors import ParameterError
from sparsecpu.kernels.machine.threads import available_threads, use_threads
from sparsecpu.layers import Attention, Embedding, LayerNorm, Residual, Sequential, SparseLinear
from sparsecpu.layers.rotary import turned, turns
from sparsecpu.losses import TokenCrossEntropy

WORDS, LENGTH = 7, 9


def network(
    *, heads=2, causal=True, head_size=None, density=0.5, dtype=np.float64, width=6, **more
):
    rng = np.random.default_rng(1)
    options = {"density": density, "rng": rng, "dtype": dtype}
    attention = Attention(
        width, heads, head_size=head_size, causal=causal, gain=3.0, **options, **more
    )
    return Sequential(
        [
            Embedding(WORDS, width, length=LENGTH, rng=rng, dtype=dtype),
            Residual([LayerNorm(width, dtype=dtype), attention]),
            SparseLinear(width, WORDS, **options),
        ],
        (LENGTH,),
    )


def batch(count=4, seed=2):
    rng = np.random.default_rng(seed)
    x, y = rng.integers(0, WORDS, (2, count, LENGTH))
    for i, size in enumerate([LENGTH, 1, 5, 3][:count]):
        x[i, size:], y[i, size:] = -1, -1
    return x, y


@pytest.mark.parametrize(
    "options",
    [
        {"dropout": 0.4},
        {"heads": 1, "causal": False, "density": 1.0, "rotary": True},
        {"heads": 3, "head_size": 1, "density": 0.05},
        {"heads": 3, "head_size": 2, "rotary": True},
    ],
)
def test_gradients_are_those_of_central_differences(options):
    made = network(**options)
    (x, y), loss, step = batch(), TokenCrossEntropy(), 1e-6
    _, gradients = made.loss_and_gradients(x, y, loss)
    rng = np.random.default_rng(0)
    for name, parameter in made.parameters().items():
        for k in rng.choice(parameter.nnz, min(parameter.nnz, 6), replace=False):
            before, found = parameter.data[k], []
            for sign in (1, -1):
                parameter.data[k] = before + sign * step
                parameter.touch()
                found.append(made.loss_and_gradients(x, y, loss)[0])
            parameter.data[k] = before
            parameter.touch()
            assert gradients[name][k] == pytest.approx(
                (found[0] - found[1]) / (2 * step), rel=1e-6, abs=1e-8
            )


def rotated(torch, x):
    """Return x, (1, heads, length, size), turned as in RoFormer: complex numbers times e**imt."""
    half = x.shape[-1] // 2
    places, parts = (torch.arange(n, dtype=torch.float64) for n in (LENGTH, half))
    angles = places[:, None] * 10000.0 ** (-parts / half)
    pairs = torch.complex(x[..., :half], x[..., half:])
    pairs = pairs * torch.polar(torch.ones_like(angles), angles)
    return torch.cat([pairs.real, pairs.imag], dim=-1)


@pytest.mark.parametrize(
    "options", [{}, {"causal": False}, {"rotary": True, "head_size": 4}], ids=str
)
def test_a_twin_in_pytorch_has_the_same_outputs_and_gradients(options):
    torch = pytest.importorskip("torch")
    made, (x, y) = network(**options), batch(1)
    size = options.get("head_size", 3)
    tensors = {}
    for name, p in made.parameters().items():
        if hasattr(p, "pattern"):
            values = torch.tensor(p.to_scipy().toarray())
        else:
            values = torch.tensor(p.data.reshape(getattr(p, "shape", p.data.shape)))
        tensors[name] = values.requires_grad_()
    h = tensors["0.table"][torch.tensor(x)] + tensors["0.positions"]
    at = {k.removeprefix("1.branch."): t for k, t in tensors.items() if k.startswith("1.")}
    n = torch.nn.functional.layer_norm(h, (6,), at["0.gamma"], at["0.beta"], 1e-5)
    q, k, v = (
        (n @ at[f"1.{p}.0.weight"].T + at[f"1.{p}.0.bias"]).reshape(1, LENGTH, 2, size)
        for p in ("query", "key", "value")
    )
    q, k, v = (one.transpose(1, 2) for one in (q, k, v))
    if options.get("rotary"):
        q, k = rotated(torch, q), rotated(torch, k)
    causal = options.get("causal", True)
    a = torch.nn.functional.scaled_dot_product_attention(q, k, v, is_causal=causal)
    a = a.transpose(1, 2).reshape(1, LENGTH, 2 * size)
    h = h + a @ at["1.output.0.weight"].T + at["1.output.0.bias"]
    z = h @ tensors["2.weight"].T + tensors["2.bias"]
    torch.nn.functional.cross_entropy(z[0], torch.tensor(y[0])).backward()
    np.testing.assert_allclose(made.predict(x), z.detach().numpy(), atol=1e-12)
    _, gradients = made.loss_and_gradients(x, y, TokenCrossEntropy())
    for name, p in made.parameters().items():
        wanted = tensors[name].grad.numpy()
        if hasattr(p, "pattern"):
            wanted = wanted[p.to_scipy().nonzero()]
        np.testing.assert_allclose(gradients[name], wanted.reshape(-1), atol=1e-12)


def test_rotary_scores_depend_on_how_far_apart_tokens_are(rng):
    """As in RoFormer, feature i being paired with feature i + size / 2."""
    x = rng.standard_normal((1, 8, 4))
    cos_sin = turns(9, 4)
    angles = np.array([1.0, 0.01])[:, None] * np.arange(9)
    np.testing.assert_allclose(cos_sin, [np.cos(angles), np.sin(angles)])
    places = np.array([0, 3, 5, 8])
    y = turned(x, cos_sin[:, :, places].reshape(2, 2, 1, 4), 2, x * 0, np.empty((1, 4, 4)))
    for head in range(2):
        for lane, place in enumerate(places):
            pairs = (
                x[0, 4 * head : 4 * head + 2, lane] + 1j * x[0, 4 * head + 2 : 4 * head + 4, lane]
            )
            pairs = pairs * np.exp(1j * place * np.array([1.0, 0.01]))
            found = y[0, 4 * head : 4 * head + 4, lane]
            np.testing.assert_allclose(found, [*pairs.real, *pairs.imag], atol=1e-12)


@pytest.mark.parametrize("rotary", [False, True])
def test_bits_do_not_depend_on_threads(rotary):
    made, rng = network(rotary=rotary, head_size=4, dropout=0.3), np.random.default_rng(5)
    x, y = rng.integers(0, WORDS, (2, 40, LENGTH))
    found = []
    for threads in (1, 2):
        with use_threads(min(threads, available_threads())):
            found.append(made.loss_and_gradients(x, y, TokenCrossEntropy()))
    assert found[0][0] == found[1][0]
    for name, gradient in found[0][1].items():
        np.testing.assert_array_equal(gradient, found[1][1][name])


def test_memory_grows_with_the_length_not_with_its_square():
    bytes_of = {}
    for length in (128, 1024):
        rng = np.random.default_rng(0)
        made = Sequential(
            [
                Embedding(WORDS, 4, length=length, rng=rng),
                Attention(4, 2, causal=True, density=1.0, rng=rng),
                SparseLinear(4, WORDS, density=1.0, rng=rng),
            ],
            (length,),
        )
        x, y = rng.integers(0, WORDS, (2, 1, length))
        made.loss_and_gradients(x, y, TokenCrossEntropy())
        tracemalloc.start()
        made.loss_and_gradients(x, y, TokenCrossEntropy())
        bytes_of[length] = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
    assert bytes_of[1024] < 8.5 * bytes_of[128]
    assert bytes_of[1024] < 1024 * 1024 * 4  # the scores of one head


def test_weights_are_dropped_in_training_only():
    made, (x, y) = network(dropout=0.5), batch()
    plain = network()
    np.testing.assert_array_equal(made.predict(x), plain.predict(x))
    again = [made.loss_and_gradients(x, y, TokenCrossEntropy())[0] for _ in range(2)]
    wanted = plain.loss_and_gradients(x, y, TokenCrossEntropy())[0]
    assert again[0] == again[1] != wanted  # of the same stream of chance
    assert made.loss_and_gradients(x, y, TokenCrossEntropy(), train=False)[0] == wanted


def test_wrong_heads_are_refused():
    with pytest.raises(ParameterError):
        Attention(6, 4)
    with pytest.raises(ParameterError):
        Attention(6, 2, dropout=1.0)
    with pytest.raises(ParameterError):
        network(rotary=True)  # heads of three features
    with pytest.raises(ParameterError):
        Sequential([Attention(6, 2)], (6,))  # samples, not tokens


def test_descriptions_say_what_all_projections_have():
    options = {"features": 4, "heads": 2, "bias": False, "group": 2}
    made = Attention.build((4,), options, rng=np.random.default_rng(0), dtype=np.float64, length=3)
    assert not any("bias" in name for name in made.parameters())
    assert len(made.parameters()) == 4
