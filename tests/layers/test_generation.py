"""A language model goes on token by token, and says what it says of whole sequences."""

import numpy as np
import pytest

from sparsecpu.errors import ParameterError
from sparsecpu.layers import Sequential, SparseLinear
from sparsecpu.layers.network.generation import Writer, sample
from sparsecpu.models import gpt

WORDS, BLOCK = 11, 12


def model(density=0.5, seed=0, **options):
    described = gpt((BLOCK,), WORDS, layers=2, heads=2, width=16, **options)
    return described.sparsify(density).build(np.random.default_rng(seed))


@pytest.mark.parametrize(
    ("streams", "rotary"), [(1, False), (2, False), (3, False), (20, False), (1, True), (20, True)]
)
def test_outputs_are_those_of_whole_sequences(streams, rotary):
    network, rng = model(rotary=rotary), np.random.default_rng(1)
    texts = rng.integers(0, WORDS, (streams, 3 * BLOCK))
    slide = 5
    writer, begin = Writer(network, streams, slide), 0
    texts[:, :4] = texts[:1, :4]
    z = writer.begin(texts[:1, :4])
    for end in range(4, 3 * BLOCK):
        whole = network.predict(texts[:, begin:end])
        np.testing.assert_allclose(z, whole[:, end - begin - 1], atol=2e-5)
        begin += slide if end - begin == BLOCK else 0  # the oldest are forgotten
        z = writer.go_on(texts[:, end])


def test_the_likeliest_token_is_that_of_predict():
    network = model(density=1.0)
    written = list(network.generate([1, 2, 3], 30, temperature=0, slide=1))
    text = [1, 2, 3]
    for token in written:
        assert token == network.predict([text[-BLOCK:]])[0, len(text[-BLOCK:]) - 1].argmax()
        text.append(token)


def test_streams_are_drawn_by_the_seed():
    network = model()
    one, again, other = (list(network.generate([3], 20, seed=seed)) for seed in (1, 1, 2))
    assert one == again != other
    several = np.array(list(network.generate([3], 20, streams=5)))
    assert several.shape == (20, 5)
    assert len({tuple(text) for text in several.T}) == 5
    rng = np.random.default_rng(1)
    assert list(network.generate([3], 20, seed=rng)) == one


def test_tokens_are_as_frequent_as_softmax_says():
    z = np.log(np.array([[0.5, 0.25, 0.15, 0.1]], np.float32)).repeat(20_000, axis=0)
    rng = np.random.default_rng(0)
    found = np.bincount(sample(z, 1.0, None, rng), minlength=4) / len(z)
    np.testing.assert_allclose(found, [0.5, 0.25, 0.15, 0.1], atol=0.02)
    sharper = np.bincount(sample(z, 0.5, 2, rng), minlength=4) / len(z)
    np.testing.assert_allclose(sharper, [0.8, 0.2, 0, 0], atol=0.02)
    assert (sample(z, 0.0, None, rng) == 0).all()
    assert (sample(z, 1e-9, None, rng) == 0).all()


def test_text_longer_than_the_block_is_cut():
    network = model()
    long = np.arange(3 * BLOCK) % WORDS
    cut = list(network.generate(long[-BLOCK:], 5, seed=4))
    assert list(network.generate(long, 5, seed=4)) == cut


@pytest.mark.parametrize(
    "wrong",
    [
        {"prompt_ids": []}, {"prompt_ids": [WORDS]}, {"prompt_ids": [-1]}, {"prompt_ids": [0.5]},
        {"prompt_ids": "abc"}, {"prompt_ids": [[1, 2]]}, {"tokens": 0}, {"temperature": -1},
        {"temperature": float("nan")}, {"top_k": 0}, {"streams": 0}, {"slide": BLOCK + 1},
        {"seed": "a"},
    ],
)  # fmt: skip
def test_wrong_arguments_are_refused_at_once(wrong):
    with pytest.raises(ParameterError):
        model().generate(**({"prompt_ids": [1], "tokens": 3} | wrong))


def test_other_networks_are_refused():
    with pytest.raises(ParameterError):
        Sequential([SparseLinear(3, 3)]).generate([1], 3)
