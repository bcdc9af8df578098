"""The connections that a language model takes for one token."""

import json

import numpy as np
import pytest
from commands import run

from sparsecpu.experiments.circuits import find_circuit
from sparsecpu.experiments.plots.circuit import plot_circuit
from sparsecpu.files.model import save
from sparsecpu.networks.models import find_model


def network(words=9, **options):
    described = find_model("gpt-nano")((8,), words, **options).sparsify(0.02)
    return described.build(np.random.default_rng(4), dtype=np.float64)


def log_probability(made, tokens, token):
    z = made.predict(tokens[None])[0, len(tokens) - 1]
    return z[token] - np.log(np.exp(z).sum())


def test_effects_are_what_is_lost_without_a_connection(tmp_path):
    made, tokens = network(), np.array([1, 5, 2])
    before = {name: p.data.copy() for name, p in made.parameters().items()}
    circuit = find_circuit(made, tokens, candidates=20)
    assert all(np.array_equal(p.data, before[name]) for name, p in made.parameters().items())
    assert circuit.whole == pytest.approx(log_probability(made, tokens, circuit.token))
    effects = [edge.effect for edge in circuit.edges]
    assert effects == sorted(effects, reverse=True)
    for edge in circuit.edges[:3]:
        parameter = made.sparse_parameters()[edge.layer]
        pattern = parameter.pattern
        row = slice(pattern.indptr[edge.output], pattern.indptr[edge.output + 1])
        k = row.start + list(pattern.indices[row]).index(edge.input)
        assert parameter.data[k] == edge.value
        parameter.data[k] = 0
        parameter.touch()
        lost = circuit.whole - log_probability(made, tokens, circuit.token)
        assert lost == pytest.approx(edge.effect)
        parameter.data[k] = edge.value
        parameter.touch()
    pytest.importorskip("matplotlib")
    plot_circuit(made, circuit.edges, tmp_path / "circuit.png", "a circuit", {circuit.token: "x"})
    assert (tmp_path / "circuit.png").stat().st_size > 10_000


def test_all_connections_alone_are_the_network():
    made, tokens = network(), np.array([3])
    circuit = find_circuit(made, tokens, token=2, candidates=made.nnz)
    assert len(circuit.edges) == made.nnz
    assert circuit.alone[made.nnz] == pytest.approx(circuit.whole)
    assert circuit.whole == pytest.approx(log_probability(made, tokens, 2))


def test_the_command_needs_a_language_model(tmp_path):
    described = find_model("gpt-nano")((8,), 256).sparsify(0.01)
    made = described.build(np.random.default_rng(0))
    save(made, tmp_path / "m.npz", facts={"task": "language", "tokenizer": {"name": "bytes"}})
    told = run("inspect", tmp_path / "m.npz", "--circuit", "ab", "--json")
    assert json.loads(told.stdout)["circuit"]["edges"]
    save(made, tmp_path / "other.npz")
    for wrong in (
        (tmp_path / "m.npz", "--circuit", "x" * 65),
        (tmp_path / "m.npz", "--circuit", ""),
        (tmp_path / "other.npz", "--circuit", "a"),
        (tmp_path / "m.npz", "--plot-circuit", "c.png"),
    ):
        assert run("inspect", *wrong).exit_code == 2
