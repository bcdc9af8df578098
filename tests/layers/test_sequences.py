"""Networks whose samples are sequences of tokens."""

import numpy as np
import pytest

from sparsecpu import Trainer
from sparsecpu.errors import DataError, ParameterError
from sparsecpu.layers import (
    GELU,
    BatchNorm,
    Embedding,
    LayerNorm,
    Residual,
    Sequential,
    SparseLinear,
)
from sparsecpu.losses import SoftmaxCrossEntropy, TokenCrossEntropy
from sparsecpu.optimizers import Adam
from sparsecpu.step.sequences import SequenceSamples

WORDS, LENGTH, WIDTH = 11, 7, 6


def tokenwise(dtype=np.float64, length=LENGTH):
    rng = np.random.default_rng(3)

    def linear(n_in, n_out):
        return SparseLinear(n_in, n_out, density=0.5, rng=rng, dtype=dtype)

    return Sequential(
        [
            Embedding(WORDS, WIDTH, length=length, rng=rng, dtype=dtype),
            Residual([LayerNorm(WIDTH, dtype=dtype), linear(WIDTH, 9), GELU(), linear(9, WIDTH)]),
            linear(WIDTH, WORDS),
        ],
        (length,),
    )


def sequences(count=5, length=LENGTH, seed=0):
    rng = np.random.default_rng(seed)
    x = rng.integers(0, WORDS, (count, length))
    y = rng.integers(0, WORDS, (count, length))
    for i, size in enumerate(rng.integers(1, length + 1, count)):
        x[i, size:], y[i, size:] = -1, -1
    return x, y


def test_gradients_are_those_of_central_differences():
    network, (x, y), loss = tokenwise(), sequences(), TokenCrossEntropy(0.1)
    _, gradients = network.loss_and_gradients(x, y, loss)
    rng, step = np.random.default_rng(1), 1e-6
    for name, parameter in network.parameters().items():
        for k in rng.choice(parameter.nnz, min(parameter.nnz, 12), replace=False):
            before, found = parameter.data[k], []
            for sign in (1, -1):
                parameter.data[k] = before + sign * step
                parameter.touch()
                found.append(network.loss_and_gradients(x, y, loss)[0])
            parameter.data[k] = before
            parameter.touch()
            assert gradients[name][k] == pytest.approx((found[0] - found[1]) / (2 * step), abs=1e-8)


def test_ragged_sequences_are_what_they_are_alone():
    network, (x, y) = tokenwise(), sequences()
    together = network.predict(x)
    assert together.shape == (5, LENGTH, WORDS)
    total = 0.0
    for i, row in enumerate(x):
        size = int((row >= 0).sum())
        alone = network.predict(row[None, :size])
        assert np.array_equal(alone[0, :size], together[i, :size])
        assert not together[i, size:].any()
        loss, _ = network.loss_and_gradients(
            row[None, :size], y[i, None, :size], TokenCrossEntropy()
        )
        total += loss * size
    loss, _ = network.loss_and_gradients(x, y, TokenCrossEntropy())
    assert loss == pytest.approx(total / (x >= 0).sum())
    lengths = (x >= 0).sum(axis=1)
    given = SequenceSamples(
        np.where(x < 0, 3, x), lengths
    )  # what stands behind the end is not read
    assert np.array_equal(network.predict(given), together)


def test_what_no_token_says_does_not_count():
    network, (x, y) = tokenwise(), sequences()
    y[:, ::2] = -1
    loss, _ = network.loss_and_gradients(x, y, TokenCrossEntropy())
    z = network.predict(x)
    shifted = z - z.max(axis=2, keepdims=True)
    logs = shifted - np.log(np.exp(shifted).sum(axis=2, keepdims=True))
    told = y >= 0
    assert loss == pytest.approx(-np.take_along_axis(logs, y[..., None], 2)[..., 0][told].mean())


def test_arrays_of_features_are_sequences_too():
    rng = np.random.default_rng(5)
    layers = [SparseLinear(4, 5, density=0.6, rng=rng), GELU(), SparseLinear(5, 3, rng=rng)]
    network = Sequential(layers, (6, 4))
    x = rng.standard_normal((3, 6, 4)).astype(np.float32)
    alike = Sequential(layers, (4,)).predict(x.reshape(-1, 4)).reshape(3, 6, 3)
    assert np.allclose(network.predict(x), alike, atol=1e-6)
    short = network.predict(SequenceSamples(x, [6, 2, 1]))
    assert np.allclose(short[1, :2], alike[1, :2], atol=1e-6)
    assert not short[1, 2:].any()


def test_a_network_of_tokens_learns_and_does_not_depend_on_threads():
    x = np.tile(np.arange(LENGTH) % 3, (40, 1))
    y = np.roll(x, -1, axis=1)
    found = []
    for threads in (1, 2):
        network = tokenwise(np.float32)
        trainer = Trainer(network, loss=TokenCrossEntropy(), optimizer=Adam(), learning_rate=0.02,
                          batch_size=8, epochs=12, threads=threads)  # fmt: skip
        trainer.fit(x, y)
        assert (network.predict(x).argmax(axis=2)[:, :-1] == y[:, :-1]).mean() > 0.9
        found.append([p.data.copy() for p in network.parameters().values()])
    assert all(np.array_equal(a, b) for a, b in zip(*found, strict=True))


def test_a_compiled_predictor_takes_sequences():
    network, (x, _) = tokenwise(np.float32), sequences()
    predict = network.compile(batch_size=5)
    assert np.array_equal(predict(x), network.predict(x))


def test_wrong_sequences_are_refused():
    network, (x, y) = tokenwise(), sequences()
    longer, unknown, hole = np.zeros((2, LENGTH + 1), int), x.copy(), x.copy()
    unknown[1, 0], hole[2, 0] = WORDS, -1
    for wrong in (longer, unknown, hole, x.astype(float), np.full((1, 3), -1), x - 5):
        with pytest.raises(DataError):
            network.predict(wrong)
    with pytest.raises(DataError):  # a token that a length asks for is missing
        network.predict(SequenceSamples(x, np.full(len(x), LENGTH)))
    with pytest.raises(ParameterError):  # a loss of samples
        network.loss_and_gradients(x, y[:, 0], SoftmaxCrossEntropy())
    with pytest.raises(ParameterError):
        Trainer(network, loss=SoftmaxCrossEntropy())
    with pytest.raises(ParameterError):
        Trainer(Sequential([SparseLinear(3, 2)]), loss=TokenCrossEntropy())
    for wrong in (y[:, :, None], y.astype(float)):
        with pytest.raises(ParameterError):
            network.loss_and_gradients(x, wrong, TokenCrossEntropy())
    with pytest.raises(DataError):
        network.loss_and_gradients(x, np.zeros_like(x), TokenCrossEntropy())  # beyond the ends
    with pytest.raises(ParameterError):
        Sequential([Embedding(WORDS, 4, length=3), BatchNorm(4)], (3,))
    with pytest.raises(ParameterError):
        Sequential([Embedding(WORDS, 4, length=3)], (4,))
    with pytest.raises(ParameterError):
        SequenceSamples(x, [1, 2, 3, 4, LENGTH + 1])
