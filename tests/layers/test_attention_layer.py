"""Attention as a layer: gradients, PyTorch, files, threads."""

import numpy as np
import pytest

from sparsecpu.errors import ParameterError
from sparsecpu.layers import Attention, Embedding, LayerNorm, Residual, Sequential, SparseLinear
from sparsecpu.losses import TokenCrossEntropy

WORDS, LENGTH = 7, 9


def network(*, heads=2, causal=True, head_size=None, density=0.5, dtype=np.float64, width=6):
    rng = np.random.default_rng(1)
    options = {"density": density, "rng": rng, "dtype": dtype}
    attention = Attention(width, heads, head_size=head_size, causal=causal, gain=3.0, **options)
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
    ("heads", "head_size", "causal", "density"),
    [(2, None, True, 0.5), (1, None, False, 1.0), (3, 1, True, 0.05)],
)
def test_gradients_are_those_of_central_differences(heads, head_size, causal, density):
    made = network(heads=heads, head_size=head_size, causal=causal, density=density)
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


@pytest.mark.parametrize("causal", [True, False])
def test_a_twin_in_pytorch_has_the_same_outputs_and_gradients(causal):
    torch = pytest.importorskip("torch")
    made, (x, y) = network(causal=causal), batch(1)
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
        (n @ at[f"1.{p}.0.weight"].T + at[f"1.{p}.0.bias"]).reshape(1, LENGTH, 2, 3).transpose(1, 2)
        for p in ("query", "key", "value")
    )
    a = torch.nn.functional.scaled_dot_product_attention(q, k, v, is_causal=causal)
    a = a.transpose(1, 2).reshape(1, LENGTH, 6)
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


def test_wrong_heads_are_refused():
    with pytest.raises(ParameterError):
        Attention(6, 4)
    with pytest.raises(ParameterError):
        Sequential([Attention(6, 2)], (6,))  # samples, not tokens
