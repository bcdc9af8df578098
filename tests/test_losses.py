"""What losses accept as targets, and what a batch of their gradients is worth."""

import naive
import numpy as np
import pytest

from sparsecpu.errors import ParameterError
from sparsecpu.losses import Loss, SigmoidCrossEntropy, SoftmaxCrossEntropy, SquaredError
from sparsecpu.step.context import Context
from sparsecpu.step.workspace import Workspace


@pytest.mark.parametrize("smoothing", [-0.1, 1.0, float("nan")])
def test_label_smoothing_is_a_fraction(smoothing):
    with pytest.raises(ParameterError, match="label_smoothing"):
        SoftmaxCrossEntropy(smoothing)
    assert SoftmaxCrossEntropy(0.0).label_smoothing == 0


@pytest.mark.parametrize("classes", [[-1, 0], [0, 3], [0.0, 1.0], [[0], [1]], 2, ["a", "b"]])
def test_class_numbers_are_counted_from_zero(classes):
    with pytest.raises(ParameterError, match="class numbers from 0 to 2"):
        SoftmaxCrossEntropy().prepare(classes, 3)


def test_class_numbers_may_be_the_first_and_the_last_or_none():
    prepared = SoftmaxCrossEntropy().prepare([0, 2, 1], 3)
    assert prepared.tolist() == [0, 2, 1]
    assert prepared.dtype == np.int32
    assert len(SoftmaxCrossEntropy().prepare(np.empty(0, int), 3)) == 0


@pytest.mark.parametrize("loss", [SigmoidCrossEntropy(), SquaredError()])
def test_other_targets_have_a_number_per_output(loss):
    assert loss.prepare([1, 0], 1).shape == (2, 1)  # one output may be written flat
    assert loss.prepare([[1, 0]], 2).dtype == np.float64
    with pytest.raises(ParameterError, match="3 numbers per sample"):
        loss.prepare([[1, 0]], 3)


def test_samples_without_weight_give_no_loss_and_no_gradient():
    loss, z = SquaredError(), np.ones((2, 3))
    targets, rows = loss.prepare(np.zeros((2, 3)), 3), np.arange(2)
    value, dz = loss(naive.to_tiles(z, 16), rows, targets, Context(Workspace()), np.zeros(2))
    assert value == 0
    assert not dz.any()


@pytest.mark.parametrize("weighted", [False, True])
def test_parts_of_a_batch_add_up_to_its_mean(weighted, rng):
    """Each rank has some of the samples, and divides by the weight of all."""
    loss, z = SquaredError(), rng.standard_normal((7, 3))
    targets, rows = loss.prepare(rng.standard_normal((20, 3)), 3), rng.permutation(20)[:7]
    weights = rng.random(20) if weighted else None

    def of(part, ctx):
        return loss(naive.to_tiles(z[part], 16), rows[part], targets, ctx, weights)

    value, dz = of(slice(7), Context(Workspace(), n_valid=7))
    dz, total = naive.from_tiles(dz, 7).copy(), 0.0
    for part in (slice(3), slice(3, 7)):
        ctx = Context(Workspace(), n_valid=len(rows[part]), all_rows=rows)
        loss_of_part, gradient = of(part, ctx)
        total += loss_of_part
        np.testing.assert_allclose(naive.from_tiles(gradient, len(rows[part])), dz[part])
    assert total == pytest.approx(value)


@pytest.mark.parametrize(
    ("loss", "targets"),
    [
        (SoftmaxCrossEntropy(), [0, 2, 1, 1]),
        (SoftmaxCrossEntropy(0.2), [0, 2, 1, 1]),
        (SigmoidCrossEntropy(), [[0, 1, 1], [0, 0, 0], [1, 1, 1], [0, 1, 0]]),
        (SquaredError(), [[0, 1, -1], [0.5, 30, 0], [1, 1, 1], [0, 7, 0]]),
    ],
)
def test_what_outputs_of_zero_cost(loss, targets):
    targets, z = loss.prepare(targets, 3), naive.to_tiles(np.zeros((4, 3)), 16)
    value, _ = loss(z, np.arange(4), targets, Context(Workspace(), n_valid=4))
    assert loss.of_zeros(targets, 3) == pytest.approx(value)


def test_of_another_loss_nothing_is_known():
    assert Loss().of_zeros(np.ones((2, 3)), 3) == 0
