"""Several batches that make one step are one large batch, in less memory."""

import numpy as np
import pytest
from ranks import together
from resumed_runs import BATCH, SAMPLES, Stop, X, Y, make_trainer, summary
from rewiring import make_network

from sparsecpu import Checkpoint
from sparsecpu.callbacks import History
from sparsecpu.errors import ConflictError, ParameterError, ResumeError
from sparsecpu.losses import SoftmaxCrossEntropy
from sparsecpu.optimizers import Adam
from sparsecpu.sparse.pattern import Pattern
from sparsecpu.topology import RigL, Static
from sparsecpu.trainer import Trainer
from sparsecpu.training.mpi import communicator

WEIGHTS = np.linspace(0.5, 1.5, SAMPLES)


def trained(batch_size, accumulate=1, comm=None, **options):
    network = make_network((8, 10, 3), 0.5, np.random.default_rng(0))
    history = History()
    trainer = Trainer(network, loss=SoftmaxCrossEntropy(), optimizer=Adam(weight_decay=0.01),
                      batch_size=batch_size, accumulate=accumulate, epochs=3, learning_rate=0.01,
                      threads=1, comm=communicator(comm), callbacks=[history],
                      **options)  # fmt: skip
    trainer.fit(X, Y, sample_weight=WEIGHTS)
    return trainer, history.records


@pytest.mark.parametrize("options", [{}, {"clip": 0.05}], ids=["plain", "clipped"])
@pytest.mark.parametrize(("batch_size", "accumulate"), [(8, 3), (1, 24), (5, 5), (60, 2)])
def test_it_is_one_large_batch(batch_size, accumulate, options):
    """60 samples: the last step of an epoch has fewer batches, and the last of them is smaller."""
    (one, expected), (many, found) = (
        trained(batch_size * accumulate, **options), trained(batch_size, accumulate, **options),
    )  # fmt: skip
    assert many.steps_done == one.steps_done
    assert many.steps_per_epoch == one.steps_per_epoch == -(-SAMPLES // (batch_size * accumulate))
    for name, parameter in one.network.parameters().items():
        np.testing.assert_allclose(
            many.network.parameters()[name].data, parameter.data, rtol=1e-9, atol=1e-12
        )
    for ours, theirs in zip(found, expected, strict=True):
        assert ours["loss"] == pytest.approx(theirs["loss"], rel=1e-12)
        assert ours["step"] == theirs["step"]


def test_ranks_share_each_of_the_batches():
    one = trained(8, 3, clip=0.5)[0].network.parameters()
    many = [t.network.parameters() for t, _ in together(3, lambda c: trained(8, 3, c, clip=0.5))]
    for name, parameter in one.items():
        np.testing.assert_allclose(many[0][name].data, parameter.data, rtol=1e-9, atol=1e-12)
        assert len({found[name].data.tobytes() for found in many}) == 1


@pytest.mark.parametrize("kind", ["window", "lowrank"])
def test_a_run_that_was_broken_off_goes_on_to_the_same_bits(kind, tmp_path):
    """Between two steps: an interruption waits for the batches that make one."""
    options = {"accumulate": 3, "clip": 1.0}
    wanted = summary(make_trainer(kind, **options).fit(X, Y))
    checkpoint = Checkpoint(tmp_path / "run.npz")
    checkpoint.write(make_trainer(kind, more=[Stop(5)], **options).fit(X, Y))
    again = make_trainer(kind, **options)
    assert checkpoint.resume(again, SAMPLES)
    assert (again.steps_done, again.position) == (5, 2 * 3 * BATCH)
    assert summary(again.fit(X, Y)) == wanted
    assert again.steps_done == 3 * again.epochs_done
    with pytest.raises(ResumeError, match="begun with accumulate 3; this one has 2"):
        checkpoint.resume(make_trainer(kind, accumulate=2), SAMPLES)


class Watch(RigL):
    """Keeps what is to be seen of the first layer, beside the gradient that the optimizer gets."""

    def see(self, parameter, view, rate):
        if parameter.shape == (10, 8):
            out = np.empty(parameter.shape)
            view.tile(slice(0, 10), slice(0, 8), out)
            x, dy = view.factors()
            self.kept = {
                "at": view.at(parameter.pattern).copy(),
                "tile": out.reshape(-1)[parameter.pattern.keys()],
                "factors": np.einsum("til,tjl->ij", dy, x).reshape(-1)[parameter.pattern.keys()],
                "norm": np.linalg.norm(view.activity("norm", self.run.rng)[0]),
                "own": np.sqrt((dy**2).sum()),
            }
        return super().see(parameter, view, rate)

    def update(self, steps_done):
        self.gradient = next(iter(self.run.parameters.values())).grad.copy()
        return super().update(steps_done)


def test_topology_takes_the_last_batch_for_all():
    """Where all batches are alike, what it sees is the gradient that the optimizer gets."""
    network = make_network((8, 10, 3), 0.5, np.random.default_rng(0))
    watch = Watch(update_every=1, stop_after=1.0, skip_step=False)
    trainer = Trainer(network, loss=SoftmaxCrossEntropy(), topology=watch, batch_size=8,
                      accumulate=3, epochs=2, threads=1)  # fmt: skip
    trainer.start(SAMPLES)
    targets = trainer.loss.prepare(Y, 3)
    trainer.step(network.samples(X), targets, np.tile(np.arange(8), 3))
    assert isinstance(next(iter(watch.run.parameters.values())).pattern, Pattern)
    kept = watch.kept
    for name in ("at", "tile", "factors"):
        np.testing.assert_allclose(kept[name], watch.gradient, rtol=1e-11, atol=1e-15)
    assert kept["norm"] == pytest.approx(kept["own"], rel=1e-12)


@pytest.mark.parametrize("accumulate", [0, -1, 1.5, "2", None])
def test_counts_that_are_none_are_refused(accumulate):
    with pytest.raises(ParameterError, match="accumulate"):
        make_trainer("window", accumulate=accumulate)


def test_lean_steps_keep_no_gradients_to_add_up():
    with pytest.raises(ConflictError, match="lean cannot be used with accumulate, which needs"):
        make_trainer("window", accumulate=2, lean=True, topology=Static())
