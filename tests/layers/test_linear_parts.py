"""The outputs of a language model are made in parts, and nobody notices but the memory."""

import tracemalloc

import numpy as np
import pytest

from sparsecpu import Trainer
from sparsecpu.errors import DivergedError
from sparsecpu.kernels.machine.threads import available_threads
from sparsecpu.layers import Embedding, LayerNorm, Sequential, SparseLinear, linear_parts
from sparsecpu.losses import TokenCrossEntropy
from sparsecpu.optimizers import Adam
from sparsecpu.topology import make_topology

WORDS, LENGTH, WIDTH = 53, 40, 12
HEADS = {
    "sparse": {"density": 0.3},
    "without a bias": {"density": 0.3, "bias": False},
    "in groups": {"density": 0.3, "group": 4},
    "full": {"density": 1.0},
}


def model(head="sparse", dtype=np.float64, words=WORDS, width=WIDTH, **options):
    rng = np.random.default_rng(3)
    options = {**HEADS[head], **options}
    head = SparseLinear(width, words, rng=rng, dtype=dtype, **options)
    tokens = Embedding(words, width, length=LENGTH, rng=rng, dtype=dtype)
    return Sequential([tokens, LayerNorm(width, dtype=dtype), head], (LENGTH,))


def sequences(count=11, words=WORDS):
    rng = np.random.default_rng(0)
    x, y = rng.integers(0, words, (2, count, LENGTH))
    for i, size in enumerate(rng.integers(1, LENGTH + 1, count)):
        x[i, size:], y[i, size // 2 :] = -1, -1
    return x, y


@pytest.fixture(params=[1, 30_000, 80_000], ids=["a tile", "2 tiles", "5 tiles"])
def parts(request, monkeypatch):
    """So many tiles of 53 outputs of 32 tokens in float64 at a time, or half as large ones."""
    monkeypatch.setattr(linear_parts, "MOST", request.param)


@pytest.mark.parametrize("head", HEADS)
def test_loss_and_gradients_are_those_of_all_at_once(head, parts, monkeypatch):
    loss, (x, y) = TokenCrossEntropy(0.1), sequences()
    found, gradients = model(head).loss_and_gradients(x, y, loss)
    monkeypatch.undo()
    wanted, expected = model(head).loss_and_gradients(x, y, loss)
    assert found == pytest.approx(wanted, rel=1e-13)
    for name, grad in expected.items():
        np.testing.assert_allclose(gradients[name], grad, rtol=1e-12, atol=1e-15)


def trained(dtype=np.float64, rule="static", threads=1, head="sparse", epochs=3, **options):
    network, (x, y) = model(head, dtype), sequences()
    trainer = Trainer(network, loss=TokenCrossEntropy(), optimizer=Adam(), learning_rate=0.02,
                      topology=make_topology(rule), batch_size=6, epochs=epochs, threads=threads,
                      **options)  # fmt: skip
    trainer.fit(x, y, sample_weight=np.linspace(0.5, 2, len(x)))
    return network.parameters()


@pytest.mark.parametrize(
    "rule",
    ["sparse-momentum:update_every=2,source=window", "rigl:update_every=2,skip_step=false",
     "gse:update_every=2,distribution=grabo"],
)  # fmt: skip
def test_topology_sees_the_same(rule, monkeypatch):
    wanted = trained(rule=rule)
    monkeypatch.setattr(linear_parts, "MOST", 1)
    found = trained(rule=rule)
    for name, parameter in wanted.items():
        if hasattr(parameter, "pattern"):
            np.testing.assert_array_equal(found[name].pattern.keys(), parameter.pattern.keys())
        np.testing.assert_allclose(found[name].data, parameter.data, rtol=1e-9, atol=1e-12)


def test_any_number_of_threads_makes_the_same_bits(monkeypatch):
    monkeypatch.setattr(linear_parts, "MOST", 1)
    options = {"dtype": np.float32, "accumulate": 2, "clip": 0.5}
    one, many = (trained(threads=n, **options) for n in (1, available_threads()))
    for name, parameter in one.items():
        np.testing.assert_array_equal(many[name].data, parameter.data)


def test_lean_steps_make_all_at_once(monkeypatch):
    wanted = trained(lean=True)
    monkeypatch.setattr(linear_parts, "MOST", 1)
    for name, parameter in trained(lean=True).items():
        np.testing.assert_array_equal(parameter.data, wanted[name].data)


class Doubled(TokenCrossEntropy):
    """A user's own, which expects outputs as an array."""

    def __call__(self, z, *given):
        loss, dz = super().__call__(z * 2, *given)
        return loss, dz * 2


def test_losses_that_take_arrays_get_arrays(parts):
    (x, y), network = sequences(), model()
    found, _ = network.loss_and_gradients(x, y, Doubled())
    head = network.parameters()["2.weight"]
    head.data = 2 * head.data
    network.parameters()["2.bias"].data *= 2
    assert found == pytest.approx(network.loss_and_gradients(x, y, TokenCrossEntropy())[0])


def test_writing_on_makes_the_outputs_of_last_tokens_alone(monkeypatch):
    prompt = sequences()[0][5, :LENGTH].clip(0)
    options = {"temperature": 0.5, "streams": 3, "seed": 1}
    wanted = np.array(list(model().generate(prompt, 2 * LENGTH, **options)))
    monkeypatch.setattr(linear_parts, "MOST", 1)
    found = np.array(list(model().generate(prompt, 2 * LENGTH, **options)))
    np.testing.assert_array_equal(found, wanted)


def test_a_loss_that_is_not_finite_changes_nothing(parts):
    network, (x, y) = model(), sequences()
    weight = network.parameters()["2.weight"]
    weight.data = np.full(weight.nnz, np.nan)
    before = network.parameters()["0.table"].data.copy()
    trainer = Trainer(network, loss=TokenCrossEntropy(), learning_rate=0.1, batch_size=6)
    with pytest.raises(DivergedError):
        trainer.fit(x, y)
    np.testing.assert_array_equal(network.parameters()["0.table"].data, before)


def test_all_outputs_are_never_there(monkeypatch):
    """Nor in the first step, nor where the loss after the last one is looked at."""
    words, whole = 2000, 4 * 2000 * 24 * 64  # 24 sequences of 40 tokens, one to each tile
    monkeypatch.setattr(linear_parts, "MOST", 1 << 19)
    x, y = np.random.default_rng(0).integers(0, words, (2, 24, LENGTH))

    def train():
        network = model(dtype=np.float32, words=words, density=0.3)
        Trainer(network, loss=TokenCrossEntropy(), batch_size=24, epochs=2, threads=1).fit(x, y)

    train()
    tracemalloc.start()
    train()
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < whole / 3
