"""What heads look at in a text, and which heads and neurons do nothing."""

import json

import naive
import numpy as np
import pytest
from commands import run

from sparsecpu.experiments.attention_maps import look_at
from sparsecpu.experiments.plots.attention import plot_attention
from sparsecpu.files.model import save
from sparsecpu.networks.models import find_model
from sparsecpu.sparse.parameter import SparseParameter
from sparsecpu.sparse.pattern import Pattern

WIDTH, HEADS = 48, 3
TOKENS = np.array([1, 5, 2, 2, 7, 0])


def network(words=9, dtype=np.float64, **options):
    described = find_model("gpt-nano")((8,), words, **options).sparsify(0.2)
    made = described.build(np.random.default_rng(4), dtype=dtype)
    rng = np.random.default_rng(5)
    for name, parameter in made.parameters().items():
        if name.endswith("bias"):
            parameter.data[...] = rng.standard_normal(parameter.data.shape)
        elif name not in made.sparse_parameters() or ".query" in name or ".key" in name:
            parameter.data[...] *= 3  # so that heads do not look at all tokens alike
    return made


def first_heads(made, *, turned):
    """Return maps of the first layer of attention, and what its heads add, in plain arithmetic."""
    known = {name: p.data for name, p in made.parameters().items()}
    norm = made.layers[1].by_name["branch"].layers[0]
    x = known["0.table"].reshape(-1, WIDTH)[TOKENS]
    if not turned:
        x = x + known["0.positions"].reshape(-1, WIDTH)[: len(TOKENS)]
    x = x - x.mean(axis=1, keepdims=True)
    x /= np.sqrt((x**2).mean(axis=1, keepdims=True) + norm.epsilon)
    x = x * known["1.branch.0.gamma"] + known["1.branch.0.beta"]
    full = {}
    for part in ("query", "key", "value", "output"):
        weight = made.sparse_parameters()[f"1.branch.1.{part}.0.weight"]
        p = weight.pattern
        full[part] = naive.dense(p.shape, p.indptr, p.indices, weight.data)
    q, k, v = (x @ full[part].T + known[f"1.branch.1.{part}.0.bias"] for part in list(full)[:3])
    size = WIDTH // HEADS
    for head in range(HEADS):
        own = slice(head * size, (head + 1) * size)
        p = np.zeros((len(TOKENS), len(TOKENS)))
        for t in range(len(TOKENS)):
            scores = []
            for s in range(t + 1):
                pair = [q[t, own], k[s, own]]
                if turned:  # a pair of features is a complex number, turned by its place
                    speeds = 10000.0 ** (-np.arange(0, size, 2) / size)
                    pair = [
                        (y[: size // 2] + 1j * y[size // 2 :]) * np.exp(1j * at * speeds)
                        for y, at in zip(pair, (t, s), strict=True)
                    ]
                scores.append(np.vdot(pair[0], pair[1]).real / np.sqrt(size))
            p[t, : t + 1] = np.exp(scores) / np.exp(scores).sum()
        yield p, p @ v[:, own] @ full["output"][:, own].T


@pytest.mark.parametrize("rotary", [False, True])
def test_maps_are_those_of_plain_arithmetic(rotary):
    made = network(rotary=rotary)
    before = made.predict(TOKENS[None])
    heads, _ = look_at(made, TOKENS)
    assert np.array_equal(made.predict(TOKENS[None]), before)
    assert len(heads) == HEADS * 3
    for head, (p, added) in zip(heads, first_heads(made, turned=rotary), strict=False):
        np.testing.assert_allclose(head.map, p, atol=1e-9)
        entropies = [-(row[: t + 1] * np.log(row[: t + 1])).sum() for t, row in enumerate(p)]
        assert head.entropy == pytest.approx(np.mean(entropies))
        far = [sum(row[s] * (t - s) for s in range(t + 1)) for t, row in enumerate(p)]
        assert head.distance == pytest.approx(np.mean(far))
        assert head.adds == pytest.approx(np.linalg.norm(added, axis=1).mean())
        assert not head.dead
    assert np.ptp([head.entropy for head in heads[:HEADS]]) > 1e-3


def without(made, layer, *, rows=(), columns=()):
    """Take the weights of some outputs or inputs of a layer out of its pattern."""
    weight = layer.weight
    keys = weight.pattern.keys()
    row, column = np.divmod(keys, weight.shape[1])
    kept = ~(np.isin(row, rows) | np.isin(column, columns))
    layer.weight = SparseParameter(
        Pattern.from_keys(weight.shape, keys[kept]), weight.data[kept], weight.data.dtype
    )


def test_heads_and_neurons_that_do_nothing_are_found():
    made = network()
    attention = made.layers[3].by_name["branch"].layers[1]
    value, output = (attention.by_name[part].layers[0] for part in ("value", "output"))
    without(made, output, columns=range(16))
    without(made, value, rows=range(16, 32))
    silent = made.layers[5].by_name["branch"].layers[1].by_name["output"].layers[0].weight
    silent.data[silent.pattern.indices >= 32] = 0
    silent.touch()
    _, up, _, down = made.layers[4].by_name["branch"].layers
    without(made, up, rows=[3, 4])
    without(made, down, columns=[4, 9])
    up.bias.data[20], up.weight.data[up.weight.pattern.rows() == 20] = -1, 0
    up.weight.touch()
    heads, neurons = look_at(made, TOKENS)
    dead = {(head.layer, head.head): head.dead for head in heads if head.dead}
    assert list(dead) == [("3.branch.1", 0), ("3.branch.1", 1), ("5.branch.1", 2)]
    assert "read" in dead["3.branch.1", 0]
    assert "values" in dead["3.branch.1", 1]
    assert "text" in dead["5.branch.1", 2]
    one = neurons[1]
    assert one.layer == "4.branch.1"
    assert {3, 4} <= set(np.flatnonzero(one.without_input))
    assert {4, 9} <= set(np.flatnonzero(one.without_output))
    assert one.never_active[20]
    assert {3, 4, 9, 20} <= set(one.dead) < set(range(192))


def test_the_command_shows_heads_and_draws_them(tmp_path):
    pytest.importorskip("matplotlib")
    made = network(256, np.float32)
    facts = {"task": "language", "tokenizer": {"name": "bytes"}}
    save(made, tmp_path / "m.npz", facts=facts)
    picture = tmp_path / "heads.png"
    told = run("inspect", tmp_path / "m.npz", "--attention", "to $be$ or", "--plot", picture)
    assert picture.stat().st_size > 10_000
    assert max(map(len, told.stdout.splitlines())) <= 80
    long = "the block " * 7
    told = run("inspect", tmp_path / "m.npz", "--attention", f"left out{long}", "--json")
    found = json.loads(told.stdout)["attention"]
    assert (found["tokens"], found["tokens_left_out"]) == (64, 14)
    assert [head["head"] for head in found["heads"]] == [0, 1, 2] * 3
    assert found["neurons"][0]["neurons"] == 192
    alone = run("inspect", tmp_path / "m.npz", "--attention", long[-64:], "--json")
    assert json.loads(alone.stdout)["attention"]["heads"] == found["heads"]


def test_what_has_no_attention_is_refused(tmp_path):
    made = network(3, np.float32)
    save(made, tmp_path / "other.npz")
    known = {"name": "characters", "characters": "abc"}
    save(made, tmp_path / "abc.npz", facts={"task": "language", "tokenizer": known})
    for model, text in (("other", "a"), ("abc", ""), ("abc", "abx")):
        told = run("inspect", tmp_path / f"{model}.npz", "--attention", text)
        assert told.exit_code == 2
        assert len(told.stderr.strip().splitlines()) == 1


def test_heads_of_images_are_refused_with_what_is_shown_of_them(tmp_path):
    made = find_model("vit-tiny")().sparsify(0.1).build()
    save(made, tmp_path / "vit.npz")
    told = run("inspect", tmp_path / "vit.npz", "--attention", "a cat")
    assert told.exit_code == 2
    assert len(told.stderr.strip().splitlines()) == 1
    assert "images" in told.stderr
    assert "--plot" in told.stderr


def test_long_texts_and_many_heads_are_drawn_in_part(tmp_path):
    pytest.importorskip("matplotlib")
    heads, _ = look_at(network(), TOKENS)
    many = [head for _ in range(5) for head in heads]
    said = plot_attention(many, [f"w{i}" for i in range(70)], "much", tmp_path / "much.png")
    assert "12 of 15 heads" in said
    assert "6 of 70 tokens" in said
