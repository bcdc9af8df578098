"""What layers do for their neighbours in one pass has the bits of passes of their own."""

import numpy as np
import pytest

from sparsecpu import Trainer
from sparsecpu.layers import (
    GELU,
    Attention,
    Dropout,
    Embedding,
    Identity,
    LayerNorm,
    Parallel,
    Residual,
    RMSNorm,
    Sequential,
    SiLU,
    SparseLinear,
)
from sparsecpu.layers.network import planned
from sparsecpu.layers.passes import Passes
from sparsecpu.losses import SquaredError, TokenCrossEntropy
from sparsecpu.optimizers import SGD

WAYS = {
    "alone": {"density": 0.3},
    "in groups": {"density": 0.3, "group": 4},
    "full": {"density": 1.0},
    "dense form": {"density": 0.3},
}


def vectors(way, dtype=np.float32):
    """Return a network with each neighbourhood in it: slopes, sums forward and back."""
    rng = np.random.default_rng(3)
    options = {**WAYS[way], "rng": rng, "dtype": dtype}
    wide = [SparseLinear(24, 50, **options), GELU("tanh"), SparseLinear(50, 24, **options)]
    ends = [SparseLinear(24, 24, **options), SiLU()]
    both = [SparseLinear(24, 24, **options)], [SparseLinear(24, 24, **options)]
    network = Sequential([
        SparseLinear(20, 24, **options), SiLU(),
        Residual([LayerNorm(24, dtype=dtype), *wide]),
        Identity(), Residual([RMSNorm(24, dtype=dtype), *ends]), Dropout(0.0), Identity(),
        Residual([GELU(), SparseLinear(24, 24, **options)], [SparseLinear(24, 24, **options)]),
        Residual([]), Parallel(both), Parallel([[SparseLinear(24, 24, **options)]]),
        GELU(), SparseLinear(24, 7, **options),
    ], (20,))  # fmt: skip
    if way == "dense form":
        for layer in inner(network):
            if isinstance(layer, SparseLinear):
                layer.form = "dense"
    return network


def tokens(way, dtype=np.float32):
    rng = np.random.default_rng(3)
    options = {**WAYS[way], "rng": rng, "dtype": dtype}
    attention = Attention(24, 2, causal=True, **options)
    wide = [SparseLinear(24, 40, **options), GELU(), SparseLinear(40, 24, **options)]
    return Sequential([
        Embedding(30, 24, length=18, rng=rng, dtype=dtype),
        Residual([LayerNorm(24, dtype=dtype), attention]),
        Residual([LayerNorm(24, dtype=dtype), *wide, Dropout(0.2)]),
        SparseLinear(24, 24, **options), GELU(), SparseLinear(24, 30, **options),
    ], (18,))  # fmt: skip


def inner(layer):
    for child in layer.children().values():
        yield child
        yield from inner(child)


@pytest.fixture
def apart(monkeypatch):
    """Call to have each pass by itself, and each gradient in its own memory, from now on."""

    def set_apart():
        monkeypatch.setattr(planned, "_share_gradients", lambda layers: None)
        monkeypatch.setattr(SparseLinear, "takes_slope", False)
        for kind in (SparseLinear, Attention, LayerNorm, RMSNorm):
            monkeypatch.setattr(kind, "forward_plus", Passes.forward_plus)
            monkeypatch.setattr(kind, "backward_plus", Passes.backward_plus)

    return set_apart


def problem(kind):
    rng = np.random.default_rng(0)
    if kind is tokens:
        x = rng.integers(0, 30, (11, 18))
        x[3, 9:] = -1
        return x, np.where(x < 0, -1, rng.integers(0, 30, x.shape)), TokenCrossEntropy()
    return rng.standard_normal((37, 20)), rng.standard_normal((37, 7)), SquaredError()


def trained(kind, way, **options):
    network, (x, y, loss) = kind(way), problem(kind)
    trainer = Trainer(network, loss=loss, optimizer=SGD(), learning_rate=1e-4, batch_size=8,
                      epochs=2, threads=1, **options)  # fmt: skip
    trainer.fit(x, y)
    return network


@pytest.mark.parametrize("kind", [vectors, tokens])
@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("options", [{}, {"lean": True}, {"precision": "bf16"}])
def test_training(kind, way, options, apart):
    if options.get("lean") and way in ("full", "dense form"):
        pytest.skip("full layers have no lean steps")
    fused = trained(kind, way, **options)
    predicted = fused.predict(problem(kind)[0])
    apart()
    alone = trained(kind, way, **options)
    for name, parameter in alone.parameters().items():
        np.testing.assert_array_equal(fused.parameters()[name].data, parameter.data, name)
    np.testing.assert_array_equal(alone.predict(problem(kind)[0]), predicted)


@pytest.mark.parametrize("kind", [vectors, tokens])
@pytest.mark.parametrize("way", WAYS)
def test_gradients_are_those_of_central_differences(kind, way):
    network, (x, y, loss), step = kind(way, np.float64), problem(kind), 1e-6
    for layer in inner(network):
        if isinstance(layer, Dropout):
            layer.rate = 0.0
    _, gradients = network.loss_and_gradients(x, y, loss)
    for name, parameter in network.parameters().items():
        k = parameter.nnz // 2
        before, found = parameter.data[k], []
        for sign in (1, -1):
            parameter.data[k] = before + sign * step
            parameter.touch()
            found.append(network.loss_and_gradients(x, y, loss)[0])
        parameter.data[k] = before
        parameter.touch()
        wanted = (found[0] - found[1]) / (2 * step)
        assert gradients[name][k] == pytest.approx(wanted, rel=1e-5, abs=1e-7), name


def test_single_samples_add_up_too(rng):
    network = vectors("in groups")
    x = rng.standard_normal((3, 20)).astype(np.float32)
    np.testing.assert_allclose(network.compile()(x[:1]), network.predict(x)[:1], atol=1e-5)


def test_blocks_take_turns_in_two_memories_for_gradients():
    network = tokens("alone")
    roles = [layer.role for layer in inner(network) if isinstance(layer, LayerNorm)]
    assert roles == ["block 0.branch.0", "block 1.branch.0"]
    assert all(not layer.role for layer in network.layers if layer.kind != "residual")


def test_slopes_are_left_between_two_linear_layers_alone():
    network = vectors("alone")
    left = [layer.leaves_slope for layer in inner(network) if isinstance(layer, (GELU, SiLU))]
    assert left == [False, True, False, False, False]


def test_a_pass_that_is_written_anew_is_made_wherever_it_is_asked_for():
    class Twice(SparseLinear):
        kind = ""  # no description has it

        def forward(self, x, ctx):
            y, saved = super().forward(x, ctx)
            return 2 * y, saved

        def backward(self, dy, saved, ctx):
            return super().backward(2 * dy, saved, ctx)

    rng, loss = np.random.default_rng(3), SquaredError()
    options = {"density": 0.5, "rng": rng, "dtype": np.float64}
    inside = Sequential([GELU(), SparseLinear(6, 6, **options)], (6,))
    network = Sequential([
        SparseLinear(6, 6, **options), GELU(), Twice(6, 6, **options),
        Residual([LayerNorm(6, dtype=np.float64), Twice(6, 6, **options)]), Residual([inside]),
    ], (6,))  # fmt: skip
    x, y = rng.standard_normal((2, 9, 6))
    _, gradients = network.loss_and_gradients(x, y, loss)
    for name, parameter in network.parameters().items():
        before, found = parameter.data[0], []
        for sign in (1, -1):
            parameter.data[0] = before + sign * 1e-6
            parameter.touch()
            found.append(network.loss_and_gradients(x, y, loss)[0])
        parameter.data[0] = before
        parameter.touch()
        assert gradients[name][0] == pytest.approx((found[0] - found[1]) / 2e-6, abs=1e-6), name
