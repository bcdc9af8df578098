"""Training that goes wrong says so: by what it leaves behind, or by where its loss has ended."""

import warnings

import numpy as np
import pytest
from commands import run
from sklearn.exceptions import FitFailedWarning
from sklearn.model_selection import GridSearchCV

from sparsecpu import SparseMLPClassifier, SparseMLPRegressor
from sparsecpu.callbacks import Callback, History
from sparsecpu.errors import DivergedError, DivergenceWarning, NotFiniteError
from sparsecpu.experiments.comparison import Cell, Comparison
from sparsecpu.experiments.comparison.runs import run_all, tune
from sparsecpu.experiments.recipe import Recipe
from sparsecpu.experiments.run_folder import RunFolder
from sparsecpu.files.model import load
from sparsecpu.layers import BatchNorm, ReLU, Sequential, SparseLinear
from sparsecpu.losses import SoftmaxCrossEntropy, SquaredError
from sparsecpu.optimizers import Adam
from sparsecpu.step.outcome import far_above, first_not_finite
from sparsecpu.trainer import Trainer

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
RNG = np.random.default_rng(0)
X = RNG.standard_normal((40, 6)).astype(np.float32)
Y = X[:, :3].argmax(axis=1)


def network():
    rng = np.random.default_rng(1)
    layers = [SparseLinear(6, 9, density=0.5, rng=rng), BatchNorm(9), ReLU(),
              SparseLinear(9, 3, density=0.5, rng=rng)]  # fmt: skip
    return Sequential(layers)


def trainer(**options):
    options = {"loss": SoftmaxCrossEntropy(), "batch_size": 20, "epochs": 3, "threads": 1,
               "learning_rate": 0.01, **options}  # fmt: skip
    return Trainer(network(), **options)


class Poison(Callback):
    """Writes a number that is not finite after the last step of an epoch."""

    def __init__(self, find, value=np.inf, step=6, halts=False):
        self.find, self.value, self.step, self.halts = find, value, step, halts

    def on_step(self, trainer, loss):
        if trainer.steps_done == self.step:
            self.find(trainer.network)[-1] = self.value
            trainer.interrupted = self.halts


class StopAfter(Callback):
    def __init__(self, step):
        self.step = step

    def on_step(self, trainer, loss):
        trainer.interrupted = trainer.steps_done == self.step


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize(
    ("find", "name"),
    [
        (lambda n: n.parameters()["0.weight"].data, "0.weight"),
        (lambda n: n.parameters()["3.bias"].data, "3.bias"),
        (lambda n: n.parameters()["3.weight"].slots["momentum"], "the momentum of 3.weight"),
        (lambda n: next(iter(n.buffers().values())), "1."),
    ],
)
def test_what_the_last_step_leaves_is_looked_at(find, name, value):
    history = History()
    with pytest.raises(DivergedError, match="not finite after step 5") as caught:
        trainer(callbacks=[Poison(find, value), history]).fit(X, Y)
    assert name in caught.value.where
    assert name in str(caught.value)
    assert (caught.value.step, caught.value.learning_rate) == (5, 0.01)
    assert np.isfinite(caught.value.loss)
    assert len(history.records) == 2  # nobody heard of the third epoch, so nobody has kept it


def test_an_epoch_that_is_broken_off_is_looked_at_too():
    poison = Poison(lambda n: n.parameters()["0.weight"].data, step=3, halts=True)
    with pytest.raises(DivergedError, match="step 2"):
        trainer(callbacks=[poison]).fit(X, Y)


def test_one_step_that_is_far_too_long():
    targets = 1e3 * X[:, :3]
    with pytest.raises(DivergedError) as caught:
        trainer(loss=SquaredError(), learning_rate=1e38, epochs=1, batch_size=40).fit(X, targets)
    assert caught.value.step == 0
    assert caught.value.where


def test_moments_that_overflow_would_end_learning_in_silence():
    with pytest.raises(DivergedError, match="second moment"):
        trainer(loss=SquaredError(), optimizer=Adam(), epochs=1).fit(X, 1e22 * X[:, :3])


def test_large_numbers_are_finite():
    made = network()
    made.parameters()["0.weight"].data[0] = 3e38  # whose square is not
    assert first_not_finite(made) == ""


def test_far_above_is_above_the_beginning_and_above_knowing_nothing():
    assert far_above(4.7, 2.3, 2.3)
    assert not far_above(4.5, 2.3, 2.3)
    assert not far_above(1.0, 0.01, 2.3)  # a network that had been trained before
    assert not far_above(90.0, 100.0, 2.3)  # one that began with outputs that were too large
    assert far_above(4.7, None, 2.3)  # a resumed run does not know how it began
    assert not far_above(4.5, None, 2.3)
    assert not far_above(5.0, 2.3, 5.0)


def test_a_loss_that_ends_far_above_its_beginning_is_said_once():
    made = trainer(optimizer=Adam(), learning_rate=1e4)
    with pytest.warns(DivergenceWarning, match="smaller learning rate") as caught:
        made.fit(X, Y)
    made.epochs += 1
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        made.fit(X, Y)
        trainer().fit(X, Y)
        trainer(epochs=0).fit(X, Y)
    assert len(caught) == 1
    assert caught[0].filename == __file__


def test_a_last_step_that_goes_far_astray_is_said():
    made = trainer(learning_rate=1e8, epochs=1, batch_size=len(X))
    with pytest.warns(DivergenceWarning, match="far above"):
        made.fit(X, Y)
    assert first_not_finite(made.network) == ""


def test_a_resumed_run_says_it_as_well():
    broken = trainer(optimizer=Adam(), learning_rate=1e4, callbacks=[StopAfter(3)]).fit(X, Y)
    resumed = trainer(optimizer=Adam(), learning_rate=1e4)
    resumed.network = broken.network
    resumed.load_state(*broken.state(), len(X))
    with pytest.warns(DivergenceWarning, match="that of outputs of 0"):
        resumed.fit(X, Y)


def test_a_search_goes_on_after_rates_that_are_too_large():
    model = SparseMLPClassifier((10,), max_iter=20, random_state=0, solver="sgd")
    search = GridSearchCV(model, {"learning_rate_init": [1e30, 0.1]}, cv=2)
    with pytest.warns(FitFailedWarning, match="DivergedError"):
        search.fit(X, Y)
    assert search.best_params_ == {"learning_rate_init": 0.1}


@pytest.mark.parametrize("partial", [False, True])
@pytest.mark.parametrize("kind", [SparseMLPClassifier, SparseMLPRegressor])
def test_estimators_say_it_too(kind, partial):
    model = kind((10,), learning_rate_init=1e4, max_iter=3, random_state=0)
    classes = [[0, 1, 2]] if kind is SparseMLPClassifier else []

    def train():
        if not partial:
            return model.fit(X, Y)
        for _ in range(3):
            model.partial_fit(X, Y, *classes)

    with pytest.warns(DivergenceWarning) as caught:
        train()
    assert sum(issubclass(w.category, DivergenceWarning) for w in caught) == 1


@pytest.mark.parametrize("early_stopping", [False, True])
@pytest.mark.parametrize("warm", [False, True])
def test_nobody_predicts_with_an_estimator_that_diverged(warm, early_stopping):
    options = {"solver": "sgd", "warm_start": True, "early_stopping": early_stopping}
    model = SparseMLPRegressor((10,), max_iter=5, random_state=0, **options)
    if warm:
        model.fit(X, Y)
    with pytest.raises(DivergedError):
        model.set_params(learning_rate_init=1e30, max_iter=50).fit(X, Y)
    with pytest.raises(ValueError, match="not fitted"):
        model.predict(X)
    assert model.set_params(learning_rate_init=0.01).fit(X, Y).score(X, Y) < 1


def test_outputs_that_are_not_finite_are_no_predictions():
    model = SparseMLPClassifier((10,), max_iter=3, random_state=0).fit(X, Y)
    for parameter in model.network_.sparse_parameters().values():
        parameter.data[:] = 1e25
        parameter.touch()
    for ask in (model.predict, model.predict_proba):
        with pytest.raises(NotFiniteError):
            ask(X)


DIGITS = ("train", "digits", "--model", 20, "--no-dense-timing", "--threads", 1)


def test_the_command_says_it_in_one_line():
    args = (*DIGITS, "--epochs", 2, "--optimizer", "adam", "--learning-rate", 1e3)
    loud, quiet = run(*args), run(*args, "--quiet")
    assert (loud.exit_code, quiet.exit_code) == (0, 0)
    said = [line for line in loud.stderr.splitlines() if "far above" in line]
    assert len(said) == 1
    assert said[0].startswith("warning: training ended with a loss of")
    assert quiet.stderr.splitlines() == said


def test_the_command_keeps_what_was_good(tmp_path):
    ended = run(*DIGITS, "--epochs", 9, "--learning-rate", 2e3, "--batch-size", 512, "--quiet",
                "--out", tmp_path / "run")  # fmt: skip
    assert ended.exit_code == 2
    assert len(ended.stderr.splitlines()) == 1
    assert "learning rate" in ended.stderr
    folder = RunFolder(tmp_path / "run")
    assert f"{folder.checkpoint} is of epoch 2" in ended.stderr
    assert not folder.model.exists()
    assert first_not_finite(load(folder.checkpoint)[0]) == ""


def test_outputs_that_overflow_are_no_score(tmp_path):
    args = ("--epochs", 1, "--learning-rate", 1e34, "--batch-size", 2000, "--schedule", "constant")
    ended = run(*DIGITS, *args, "--quiet", "--out", tmp_path)
    assert (ended.exit_code, "not finite" in ended.stderr) == (2, True)
    for command in ("evaluate", "predict"):
        ended = run(command, tmp_path, "digits")
        assert (ended.exit_code, "not finite" in ended.stderr) == (2, True)


def test_comparisons_say_which_run_it_was():
    plan = Comparison(
        "iris", {}, ("static",), (0.5,), 1, 0,
        Recipe(model="10", epochs=2, optimizer="adam"), (1e3, 1e4),
    )  # fmt: skip
    kept = []
    cell = Cell("static", 0.5, 0, 0)
    with pytest.warns(DivergenceWarning, match="static at density 0.5, seed 0: training ended"):
        run_all(plan, [(cell, 1e3, False)], 1, kept.append)
    assert len(kept) == 1
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        tune(plan, 1, kept.append)  # where large rates are tried on purpose
    run_all(plan, [(cell, 1e37, False)], 1, kept.append)
    assert kept[-1]["score"] is None
