"""Tables of tokens that exist only at their nonzeros."""

import naive
import numpy as np
import pytest

from sparsecpu import load, save
from sparsecpu.errors import ParameterError
from sparsecpu.layers import Embedding, LayerNorm, MeanTokens, Sequential, SparseLinear
from sparsecpu.layers.embedding_view import TableView
from sparsecpu.losses import SoftmaxCrossEntropy
from sparsecpu.networks.description import Architecture, LayerSpec
from sparsecpu.optimizers import Adam
from sparsecpu.sparse.pattern import Pattern
from sparsecpu.topology import make_topology
from sparsecpu.trainer import Trainer

WORDS, LENGTH, WIDTH = 30, 7, 6


def network(dtype=np.float64, density=0.4, words=WORDS):
    rng = np.random.default_rng(1)
    table = Embedding(words, WIDTH, length=LENGTH, density=density, rng=rng, dtype=dtype)
    head = SparseLinear(WIDTH, 3, density=0.8, rng=rng, dtype=dtype)
    return Sequential([table, LayerNorm(WIDTH, dtype=dtype), MeanTokens(), head], (LENGTH,))


def batch(count=9, seed=0, words=WORDS):
    rng = np.random.default_rng(seed)
    x = rng.integers(0, words // 2, (count, LENGTH))  # the upper half never occurs
    for row, size in zip(x, rng.integers(1, LENGTH + 1, count), strict=True):
        row[size:] = -1
    return x, rng.integers(0, 3, count)


def dense(p, values):
    return naive.dense(p.shape, p.pattern.indptr, p.pattern.indices, values)


def test_it_computes_what_a_full_table_does():
    made, (x, y) = network(), batch()
    table = made.layers[0].table
    full = Embedding(WORDS, WIDTH, length=LENGTH, dtype=np.float64)
    full.table.data = dense(table, table.data).reshape(-1)
    full.positions.data = made.layers[0].positions.data
    other = Sequential([full, *made.layers[1:]], (LENGTH,))
    assert np.array_equal(made.predict(x), other.predict(x))
    _, theirs = other.loss_and_gradients(x, y, SoftmaxCrossEntropy())
    table.grad[:] = np.nan  # what does not occur gets 0
    _, ours = made.loss_and_gradients(x, y, SoftmaxCrossEntropy())
    wanted = theirs["0.table"].reshape(WORDS, WIDTH)
    wanted = naive.at_nonzeros(wanted, table.pattern.indptr, table.pattern.indices)
    np.testing.assert_allclose(ours["0.table"], wanted, atol=1e-14)
    np.testing.assert_allclose(ours["0.positions"], theirs["0.positions"], atol=1e-14)


def test_topology_may_ask_for_any_part_of_the_gradient():
    rng = np.random.default_rng(0)
    tokens, dy = rng.integers(0, 9, 48), rng.standard_normal((3, 5, 16))
    tokens[40:], dy[2, :, 8:] = 0, 0  # padding
    of_lane = dy.transpose(0, 2, 1).reshape(48, 5)
    full = np.zeros((12, 5))
    np.add.at(full, tokens, of_lane)
    view, out = TableView(tokens, dy, 12), np.empty((4, 2))
    view.tile(slice(2, 6), slice(1, 3), out)
    np.testing.assert_allclose(out, full[2:6, 1:3])
    out = np.empty((3, 2))
    view.tile(slice(0, 12, 4), slice(0, 5, 3), out)
    np.testing.assert_allclose(out, full[::4, ::3])
    pattern = Pattern((12, 5), [0, 2, *[3] * 11], [1, 4, 0])
    np.testing.assert_allclose(view.at(pattern), full[[0, 0, 1], [1, 4, 0]])
    counts = np.bincount(tokens[:40], minlength=12)
    rows, columns = view.activity("norm", rng)
    np.testing.assert_allclose(rows, np.sqrt(counts))
    np.testing.assert_allclose(columns, np.sqrt((of_lane**2).sum(axis=0)))
    rows, columns = view.activity("bound", rng)
    np.testing.assert_allclose(rows, counts)
    drawn = [np.multiply.outer(*view.activity("estimate", rng)) for _ in range(2000)]
    assert (np.mean(drawn, axis=0) > np.abs(full) - 0.5).all()  # |mean| <= mean of || for each


@pytest.mark.parametrize("rule", ["rigl", "gse:distribution=graest", "sparse-momentum",
                                  "sparse-momentum:source=tiles"])  # fmt: skip
def test_it_takes_part_in_topology(rule):
    found = []
    for threads in (1, 2) if rule == "rigl" else (1,):
        made, (x, y) = network(np.float32), batch(40)
        before, nnz = made.layers[0].table.pattern.indices.copy(), made.nnz
        options = {"update_every": 4, "prune_rate": 0.3}
        Trainer(made, loss=SoftmaxCrossEntropy(), optimizer=Adam(), epochs=3, batch_size=8,
                topology=make_topology(rule, **options), learning_rate=0.01,
                threads=threads).fit(x, y)  # fmt: skip
        table = made.layers[0].table
        assert made.nnz == nnz
        assert not np.array_equal(before, table.pattern.indices)
        found.append((table.data.tobytes(), table.pattern.indices.tobytes()))
    assert len(set(found)) == 1


def test_descriptions_share_weights_out_to_it(tmp_path):
    options = {"vocabulary": 20, "features": 6, "nnz": None}
    layers = [LayerSpec("embedding", options), LayerSpec("mean_tokens"),
              LayerSpec("linear", {"out_features": 5, "nnz": None})]  # fmt: skip
    described = Architecture((4,), tuple(layers))
    assert described.weight_shapes() == [(20, 6), (5, 6)]
    assert described.build().layers[0].table.pattern.is_full
    sparse = described.sparsify(0.2, "uniform").in_groups(2)
    made = sparse.build(np.random.default_rng(0))
    assert made.sparse_parameters()["0.table"].nnz == 24
    again = Architecture.from_dict(sparse.to_dict()).build(parameters=made.parameters())
    x = np.arange(12).reshape(3, 4)
    assert np.array_equal(again.predict(x), made.predict(x))
    save(made, tmp_path / "it.npz")
    assert np.array_equal(load(tmp_path / "it.npz")[0].predict(x), made.predict(x))
    full = {"vocabulary": 20, "features": 6}
    assert Architecture((4,), (LayerSpec("embedding", full),)).sparsify(1.0).weight_shapes() == []


def test_what_does_not_fit_is_refused():
    for wrong in ({"density": 0}, {"density": 2}, {"nnz": -1}, {"nnz": 1000}):
        with pytest.raises(ParameterError):
            Embedding(WORDS, WIDTH, positions=False, **wrong)
