"""A gradient that is too long is shortened, that of all parameters together."""

import math

import numpy as np
import pytest
from ranks import together

from sparsecpu.errors import ConflictError, DivergedError, ParameterError
from sparsecpu.kernels.machine.threads import available_threads, use_threads
from sparsecpu.layers import BatchNorm, ReLU, Sequential, SparseLinear
from sparsecpu.losses import SquaredError
from sparsecpu.optimizers import SGD, Optimizer
from sparsecpu.sparse.dense_parameter import Parameter
from sparsecpu.step.gradients import GlobalNorm
from sparsecpu.topology import RigL
from sparsecpu.trainer import Trainer
from sparsecpu.training.mpi import communicator

RNG = np.random.default_rng(0)
X, Y = RNG.standard_normal((24, 7)), RNG.standard_normal((24, 3))


def network():
    rng = np.random.default_rng(1)
    return Sequential(
        [SparseLinear(7, 9, density=0.5, rng=rng, dtype=float), BatchNorm(9, dtype=float), ReLU(),
         SparseLinear(9, 3, density=0.7, rng=rng, dtype=float)]
    )  # fmt: skip


def trainer(made=None, **options):
    options = {"optimizer": SGD(0.0), "loss": SquaredError(), **options}
    return Trainer(made or network(), learning_rate=0.1, batch_size=24,
                   shuffle=False, epochs=1, threads=1, **options)  # fmt: skip


def step(t, rows=24):
    source = t.network.samples(X)
    t.step(source, t.loss.prepare(Y, 3), np.arange(rows))
    return {name: p.data.copy() for name, p in t.network.parameters().items()}


def norm_of(gradients):
    return math.sqrt(math.fsum(float(g) ** 2 for grad in gradients.values() for g in grad))


@pytest.mark.parametrize("part", [0.25, 4.0])
def test_a_step_is_as_long_as_the_clipped_gradient(part):
    made = network()
    gradients = made.loss_and_gradients(X, Y, SquaredError())[1]
    before = {name: p.data.copy() for name, p in made.parameters().items()}
    norm = norm_of(gradients)
    t = trainer(made, clip=part * norm)
    after = step(t)
    assert t.gradient_norm == pytest.approx(norm, rel=1e-13)
    for name, grad in gradients.items():
        moved = before[name] - after[name]
        np.testing.assert_allclose(moved, 0.1 * min(1.0, part) * grad, rtol=1e-11, atol=1e-15)


def test_none_and_0_and_a_length_that_is_never_reached_change_no_bit():
    wanted = step(trainer())
    for clip in (None, 0, 1e9):
        t = trainer(clip=clip)
        for name, values in step(t).items():
            np.testing.assert_array_equal(values, wanted[name])
        assert (t.gradient_norm is None) == (not clip)


def test_the_norm_has_the_same_bits_on_any_number_of_threads():
    parameters = [Parameter(np.zeros(count)) for count in (100_003, 16_384, 1)]
    for parameter in parameters:
        parameter.grad = RNG.standard_normal(parameter.nnz)
    norm, found = GlobalNorm(), []
    for threads in (1, available_threads()):
        with use_threads(threads):
            found.append(norm.of(parameters))
    assert found[0] == found[1]
    exact = math.sqrt(math.fsum(float(g) ** 2 for p in parameters for g in p.grad))
    assert found[0] == pytest.approx(exact, rel=1e-13)


class Plain(Optimizer):
    """One of a user's own, which knows nothing of clipping."""

    def _update(self, parameter, learning_rate, step):
        parameter.data = parameter.data - learning_rate * parameter.grad


def test_optimizers_that_know_nothing_of_it_get_clipped_gradients():
    wanted = step(trainer(clip=0.01))
    for name, values in step(trainer(clip=0.01, optimizer=Plain())).items():
        np.testing.assert_allclose(values, wanted[name], rtol=1e-13)


def test_topology_sees_gradients_as_they_were():
    seen = {}

    class Watch(RigL):
        def update(self, steps_done):
            seen.update((n, p.grad.copy()) for n, p in self.run.parameters.items())
            return super().update(steps_done)

    made = network()
    gradients = made.loss_and_gradients(X, Y, SquaredError())[1]
    watch = Watch(update_every=1, stop_after=1.0, skip_step=False)
    t = trainer(made, clip=1e-3, optimizer=SGD(0.9), topology=watch)
    t.start(200)
    step(t)
    for name, grad in seen.items():
        np.testing.assert_allclose(grad, gradients[name], rtol=1e-12)
    assert len(seen) == 2


def test_ranks_clip_alike():
    def work(comm):
        return step(trainer(clip=0.01, comm=communicator(comm)))

    one, many = step(trainer(clip=0.01)), together(3, work)
    for name, values in one.items():
        np.testing.assert_allclose(many[0][name], values, rtol=1e-10, atol=1e-14)
        assert len({found[name].tobytes() for found in many}) == 1


class Steep(SquaredError):
    """A loss that is finite and has no finite gradient."""

    def __call__(self, *given, **options):
        loss, dz = super().__call__(*given, **options)
        dz[...] = np.inf
        return loss, dz


def test_a_gradient_that_is_not_finite_ends_training():
    with pytest.raises(DivergedError, match="the gradient is not finite after step 0"):
        step(trainer(clip=1.0, loss=Steep()))


def test_what_cannot_be_is_refused():
    for clip in (-1, math.inf, "1", True):
        with pytest.raises(ParameterError, match="clip is"):
            trainer(clip=clip)
    with pytest.raises(ConflictError, match="lean cannot be used with clip, which needs stored"):
        trainer(lean=True, clip=1.0)
