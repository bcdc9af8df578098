"""A run from Python that is ended and made again goes on where it was."""

import os

import numpy as np
import pytest
from resumed_runs import PER_EPOCH, SAMPLES, Stop, X, Y, make_trainer, network_of, summary

from sparsecpu import Checkpoint, load
from sparsecpu.callbacks import Callback, History
from sparsecpu.errors import FileFormatError, ParameterError, ResumeError
from sparsecpu.files.model import save
from sparsecpu.layers import ReLU, Sequential, SparseLinear
from sparsecpu.losses import SoftmaxCrossEntropy
from sparsecpu.networks.description import mlp
from sparsecpu.topology import SET
from sparsecpu.trainer import Trainer


class Kill(Callback):
    """Ends a run with an exception, as Ctrl-C does."""

    def __init__(self, steps):
        self.steps = steps

    def on_step(self, trainer, loss):
        if trainer.steps_done == self.steps:
            raise KeyboardInterrupt


@pytest.mark.parametrize("steps", [1, PER_EPOCH, PER_EPOCH + 1, 4 * PER_EPOCH + 3])
@pytest.mark.parametrize("kind", ["window", "lowrank"])
def test_a_run_that_was_ended_goes_on_to_the_same_bits(kind, steps, tmp_path):
    """With every callback, the best network among them, and a fresh network to take it up."""
    wanted = summary(make_trainer(kind).fit(X, Y))
    checkpoint = Checkpoint(tmp_path / "run.npz")
    with pytest.raises(KeyboardInterrupt):
        make_trainer(kind, more=[checkpoint, Kill(steps)]).fit(X, Y)
    again = make_trainer(kind, more=[checkpoint])
    assert checkpoint.resume(again, SAMPLES)
    assert again.steps_done == (steps - 1) // PER_EPOCH * PER_EPOCH
    assert summary(again.fit(X, Y)) == wanted
    assert os.listdir(tmp_path) == ["run.npz"]


def test_one_may_be_written_between_any_two_steps(tmp_path):
    wanted = summary(make_trainer("window").fit(X, Y))
    checkpoint = Checkpoint(tmp_path / "run.npz")
    checkpoint.write(make_trainer("window", more=[Stop(PER_EPOCH + 3)]).fit(X, Y))
    again = make_trainer("window")
    assert checkpoint.resume(again, SAMPLES)
    assert (again.steps_done, again.position) == (PER_EPOCH + 3, 24)
    assert summary(again.fit(X, Y)) == wanted


def test_a_finished_run_stays_what_it_is(tmp_path):
    checkpoint = Checkpoint(tmp_path / "run.npz")
    wanted = summary(make_trainer("window", more=[checkpoint]).fit(X, Y))
    again = make_trainer("window", more=[checkpoint])
    assert checkpoint.resume(again, SAMPLES)
    assert summary(again.fit(X, Y)) == wanted


def test_without_a_file_nothing_happens(tmp_path):
    trainer = make_trainer("window")
    before = network_of(trainer)
    assert not Checkpoint(tmp_path / "run.npz").resume(trainer, SAMPLES)
    assert network_of(trainer) == before
    assert os.listdir(tmp_path) == []


def other_network(**options):
    options = {"batch_norm": True, "dropout": 0.1, **options}
    return mlp(8, (24, 12), 3, **options).sparsify(0.3).build(np.random.default_rng(5))


def test_what_does_not_fit_is_refused_and_changes_nothing(tmp_path):
    checkpoint = Checkpoint(tmp_path / "run.npz")
    make_trainer("window", more=[checkpoint, Stop(PER_EPOCH + 3)]).fit(X, Y)
    double = mlp(8, (24, 12), 3, batch_norm=True, dropout=0.1).sparsify(0.3)
    for trainer, samples, words in (
        (make_trainer("window", other_network(activation="tanh")), SAMPLES, "another network"),
        (make_trainer("window", double.build(dtype=np.float64)), SAMPLES, "another network"),
        (make_trainer("window", topology=SET()), SAMPLES, "SET"),
        (make_trainer("window", more=[History()]), SAMPLES, "the trainer's callbacks"),
        (make_trainer("window"), SAMPLES + 50, "steps"),
    ):
        trainer.network.offset = np.ones(8)
        trainer.network.scale = np.full(8, 2.0)
        before = network_of(trainer)
        with pytest.raises((ResumeError, FileFormatError), match=words) as caught:
            checkpoint.resume(trainer, samples)
        assert str(checkpoint.path) in str(caught.value)
        assert (network_of(trainer), trainer.steps_done) == (before, 0)
        assert trainer.network.offset.tolist() == [1.0] * 8
        assert trainer.network.scale.tolist() == [2.0] * 8


@pytest.mark.parametrize("samples", [0, -3, 1.5, "a", None])
def test_samples_are_a_number_of_them(samples, tmp_path):
    checkpoint = Checkpoint(tmp_path / "run.npz")
    make_trainer("window", more=[checkpoint, Stop(3)]).fit(X, Y)
    trainer = make_trainer("window")
    before = network_of(trainer)
    with pytest.raises(ParameterError, match="samples"):
        checkpoint.resume(trainer, samples)
    assert (network_of(trainer), trainer.steps_done) == (before, 0)


def test_a_model_is_no_checkpoint_but_a_checkpoint_is_a_model(tmp_path):
    trainer = make_trainer("window")
    save(trainer.network, tmp_path / "model.npz")
    with pytest.raises(FileFormatError, match="is no checkpoint"):
        Checkpoint(tmp_path / "model.npz").resume(trainer, SAMPLES)
    with pytest.raises(ParameterError, match="begun to train"):
        Checkpoint(tmp_path / "run.npz").write(trainer)
    trainer.start(SAMPLES)
    Checkpoint(tmp_path / "run.npz").write(trainer)
    network, _ = load(tmp_path / "run.npz")
    np.testing.assert_array_equal(network.predict(X), trainer.network.predict(X))


def test_a_network_made_by_hand_needs_a_description(tmp_path):
    def make():
        rng = np.random.default_rng(0)
        layers = [SparseLinear(8, 12, density=0.5, rng=rng), ReLU(), SparseLinear(12, 3, rng=rng)]
        return Sequential(layers)

    def trainer(*callbacks):
        loss = SoftmaxCrossEntropy()
        return Trainer(make(), loss=loss, batch_size=8, epochs=3, threads=1, callbacks=callbacks)

    for call in ("write", "resume"):
        bare = Checkpoint(tmp_path / "run.npz")
        (tmp_path / "run.npz").write_bytes(b"")
        with pytest.raises((ParameterError, FileFormatError)):
            getattr(bare, call)(trainer(), *([SAMPLES] if call == "resume" else []))
        (tmp_path / "run.npz").unlink()
    wanted = network_of(trainer().fit(X, Y))
    described = Checkpoint(tmp_path / "run.npz", mlp(8, (12,), 3).sparsify(0.5))
    trainer(described, Stop(PER_EPOCH + 1)).fit(X, Y)
    again = trainer(described)
    assert described.resume(again, SAMPLES)
    assert network_of(again.fit(X, Y)) == wanted
