"""What the estimators share."""

from __future__ import annotations

import contextlib
import warnings
from collections.abc import Iterator

import numpy as np
from sklearn.base import BaseEstimator
from sklearn.exceptions import ConvergenceWarning
from sklearn.utils import check_random_state
from sklearn.utils.validation import (
    _check_sample_weight,
    check_is_fitted,
    validate_data,
)

from sparsecpu.callbacks import BestModel, Callback, History, Validation
from sparsecpu.estimators.held_out import held_out
from sparsecpu.estimators.memory import refuse_too_large
from sparsecpu.estimators.parameters import check_parameters
from sparsecpu.estimators.progress import Progress, begin, followers, gone_on, remember
from sparsecpu.estimators.rates import Stopper
from sparsecpu.estimators.trainers import (
    batch_of,
    make_rate,
    make_trainer,
    restart,
    threads_of,
)
from sparsecpu.experiments.scoring import outputs
from sparsecpu.kernels.machine.threads import use_threads
from sparsecpu.networks.description import mlp
from sparsecpu.registries import defaults
from sparsecpu.schedules import constant
from sparsecpu.sparse.matrices import canonical_csr
from sparsecpu.step.streams import streams
from sparsecpu.trainer import Trainer
from sparsecpu.training.mpi import communicator


def readable(X):
    """Return samples; sparse ones checked before SciPy reads them, and apart from the user's."""
    return canonical_csr(X, "X") if hasattr(X, "tocsr") else X


class SparseMLP(BaseEstimator):
    """What classifier and regressor share; ``parameters.py`` says what each parameter is."""

    _running: Trainer | None
    _progress: Progress
    t_: int
    best_validation_score_: float | None

    def __init__(
        self,
        hidden_layer_sizes=(100,),
        activation="relu",
        *,
        density=defaults.DENSITY,
        distribution=defaults.DISTRIBUTION,
        topology=defaults.TOPOLOGY,
        solver=defaults.ESTIMATOR.optimizer,
        alpha=0.0001,
        batch_size=defaults.ESTIMATOR.batch_size,
        learning_rate="constant",
        learning_rate_init=defaults.ESTIMATOR.learning_rate,
        power_t=0.5,
        max_iter=defaults.ESTIMATOR.epochs,
        shuffle=True,
        random_state=None,
        tol=1e-4,
        verbose=False,
        warm_start=False,
        momentum=0.9,
        nesterovs_momentum=True,
        early_stopping=False,
        validation_fraction=0.1,
        beta_1=0.9,
        beta_2=0.999,
        epsilon=1e-8,
        n_iter_no_change=10,
        dropout=0.0,
        batch_norm=False,
        dtype="float32",
        precision=defaults.PRECISION,
        n_jobs=None,
        comm=None,
    ):
        self.hidden_layer_sizes = hidden_layer_sizes
        self.activation = activation
        self.density = density
        self.distribution = distribution
        self.topology = topology
        self.solver = solver
        self.alpha = alpha
        self.batch_size = batch_size
        self.learning_rate = learning_rate
        self.learning_rate_init = learning_rate_init
        self.power_t = power_t
        self.max_iter = max_iter
        self.shuffle = shuffle
        self.random_state = random_state
        self.tol = tol
        self.verbose = verbose
        self.warm_start = warm_start
        self.momentum = momentum
        self.nesterovs_momentum = nesterovs_momentum
        self.early_stopping = early_stopping
        self.validation_fraction = validation_fraction
        self.beta_1 = beta_1
        self.beta_2 = beta_2
        self.epsilon = epsilon
        self.n_iter_no_change = n_iter_no_change
        self.dropout = dropout
        self.batch_norm = batch_norm
        self.dtype = dtype
        self.precision = precision
        self.n_jobs = n_jobs
        self.comm = comm

    def fit(self, X, y, sample_weight=None):
        """Train on samples.

        Parameters
        ----------
        X : array_like or sparse matrix, shape (samples, features)
            Samples; sparse ones are made dense one minibatch at a time.
        y : array_like
            Targets.
        sample_weight : array_like, shape (samples,), optional
            Weights of the samples in the loss.

        Returns
        -------
        estimator
            Itself.
        """
        fresh = not (self.warm_start and hasattr(self, "network_"))
        X, targets, sample_weight = self._prepare(X, y, sample_weight, reset=fresh)
        if sample_weight is not None and (sample_weight == 0).any():
            keep = sample_weight > 0  # a weight of 0 is the same as absence
            X, targets, sample_weight = X[keep], targets[keep], sample_weight[keep]
        seed = self._draw_seed()
        if fresh:
            self._build(targets, seed)
            begin(self)
        callbacks: list[Callback] = [history := History()]
        if self.early_stopping:
            stratify = targets if self._stratified(targets) else None
            X, targets, sample_weight, *held = held_out(
                X, targets, sample_weight, self.validation_fraction, seed, stratify
            )
            callbacks.append(Validation(lambda network: self._quality(*held)))
            callbacks.append(best := BestModel())
        rate, stopper = make_rate(self, self.t_), Stopper(self)
        callbacks += followers(self, rate, stopper, X.shape[0])
        trainer = make_trainer(self, X.shape[0], seed, rate, callbacks)
        if not fresh:
            restart(self.network_)
            stopper.load_state(self._progress.stopper)
            if self.early_stopping and self.best_validation_score_ is not None:
                best.on_epoch_end(trainer, {best.key: self.best_validation_score_})
        with self._no_network_unless_trained():
            trainer.fit(X, targets, sample_weight)
        remember(self, trainer, history.records, stopper, X.shape[0])
        if not trainer.stop and self.n_iter_ == self.max_iter:
            warnings.warn(
                f"Stochastic Optimizer: Maximum iterations ({self.max_iter}) reached and the "
                "optimization hasn't converged yet.",
                ConvergenceWarning,
                stacklevel=2,
            )
        self._running = None
        return self

    @contextlib.contextmanager
    def _no_network_unless_trained(self) -> Iterator[None]:
        """Take the network away if training fails: nobody should predict with it."""
        try:
            yield
        except Exception:
            del self.network_
            raise

    def _partial_fit(self, X, targets, sample_weight, fresh: bool):
        """Train for one epoch on these samples."""
        if fresh:
            self._build(targets, self._draw_seed())
            begin(self)
        trainer, samples = self._trainer_of_parts(X.shape[0]), self.network_.samples(X)
        rate, stopper = gone_on(self)
        history = History()
        trainer.callbacks = [history, *followers(self, rate, stopper, X.shape[0])]
        trainer.schedule, trainer.batch_size = rate, batch_of(self, X.shape[0])
        prepared = trainer.loss.prepare(targets, self.n_outputs_)
        with self._no_network_unless_trained(), trainer.machine():
            trainer.run_epoch(samples, prepared, sample_weight)
        trainer.warn_if_worse(prepared)
        remember(self, trainer, history.records, stopper, X.shape[0])
        return self

    def _trainer_of_parts(self, samples: int) -> Trainer:
        """Return the trainer of ``partial_fit``: that of the call before, or one that goes on."""
        trainer = getattr(self, "_running", None)
        if trainer is None:
            rate = constant(self.learning_rate_init)
            trainer = make_trainer(self, samples, self._seed, rate, [])
            trainer.steps_done = self._progress.steps
            trainer.learning_rate_factor = self._progress.factor
            trainer.start(samples)
            self._running = trainer
        trainer.network = self.network_
        return trainer

    def _prepare(self, X, y, sample_weight, *, reset: bool):
        """Return checked samples, targets as the loss takes them, and weights or None."""
        check_parameters(self)
        X, y = validate_data(
            self,
            readable(X),
            y,
            accept_sparse=["csr"],
            multi_output=True,
            dtype=[np.float64, np.float32],
            reset=reset,
        )
        targets = self._encode(y, reset=reset)
        weights = None
        if sample_weight is not None:
            weights = _check_sample_weight(sample_weight, X, dtype=np.float64)
        return X, targets, self._weigh(y, weights)

    def _weigh(self, y, weights):
        return weights

    def _build(self, targets, seed: int) -> None:
        """Make the network."""
        sizes = np.atleast_1d(np.asarray(self.hidden_layer_sizes, dtype=object)).tolist()
        self.n_outputs_ = self._count_outputs(targets)
        self.architecture_ = mlp(
            self.n_features_in_,
            tuple(sizes),
            self.n_outputs_,
            activation=self.activation,
            dropout=self.dropout,
            batch_norm=self.batch_norm,
        ).sparsify(self.density, self.distribution)
        self._seed = seed
        refuse_too_large(self, len(targets))
        self.network_ = self.architecture_.build(streams(seed)["init"], dtype=np.dtype(self.dtype))

    def _draw_seed(self) -> int:
        """Return the seed of a fit, the same on all ranks."""
        seed = int(check_random_state(self.random_state).randint(np.iinfo(np.int32).max))
        return communicator(self.comm).broadcast(seed)

    def _stratified(self, targets) -> bool:
        return False

    def _raw(self, X) -> np.ndarray:
        """Return the network's outputs; raise ``NotFiniteError`` if they say nothing."""
        check_is_fitted(self, "network_")
        X = validate_data(
            self, readable(X), accept_sparse=["csr"], dtype=[np.float64, np.float32], reset=False
        )
        with use_threads(threads_of(self)):
            return outputs(self.network_, X)

    @property
    def coefs_(self):
        """Weights of each layer, as SciPy matrices of shape (n_in, n_out)."""
        check_is_fitted(self, "network_")
        return [p.to_scipy().T.tocsr() for p in self.network_.sparse_parameters().values()]

    @property
    def intercepts_(self):
        """Bias of each layer."""
        check_is_fitted(self, "network_")
        found = self.network_.parameters().items()
        return [p.data.copy() for name, p in found if name.endswith(".bias")]

    @property
    def density_(self) -> float:
        """Fraction of the weights that is kept."""
        check_is_fitted(self, "network_")
        return self.network_.density

    def __getstate__(self):
        state = super().__getstate__()
        state.pop("_running", None)  # a trainer; the network holds all that matters
        return state

    def __sklearn_is_fitted__(self) -> bool:
        return hasattr(self, "network_")

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.input_tags.sparse = True
        return tags
