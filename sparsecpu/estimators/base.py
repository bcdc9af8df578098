"""What the estimators share: parameters, and training."""

from __future__ import annotations

import warnings
from typing import Any, Self

import numpy as np
from sklearn.exceptions import ConvergenceWarning
from sklearn.utils import check_random_state

from sparsecpu.callbacks import BestModel, Callback, History, Validation
from sparsecpu.errors import ParameterError
from sparsecpu.estimators.all_or_nothing import all_or_nothing, nothing_if_it_fails
from sparsecpu.estimators.facts import facts_of, name_of
from sparsecpu.estimators.fitted import Fitted
from sparsecpu.estimators.groups import grouped
from sparsecpu.estimators.held_out import few_of, held_out
from sparsecpu.estimators.in_use import in_training
from sparsecpu.estimators.interruption import ends_at_ctrl_c, keep_what_is_there
from sparsecpu.estimators.memory import refuse_too_large
from sparsecpu.estimators.parameters import check_parameters
from sparsecpu.estimators.parts import trainer_of_parts
from sparsecpu.estimators.progress import begin, followers, gone_on, remember
from sparsecpu.estimators.rates import Stopper
from sparsecpu.estimators.samples import read_samples
from sparsecpu.estimators.scaling import scale_samples
from sparsecpu.estimators.shown import ShowsNetwork
from sparsecpu.estimators.targets import read_targets
from sparsecpu.estimators.thin import tell_thin
from sparsecpu.estimators.trainers import make_rate, make_trainer, restart
from sparsecpu.estimators.weights import check_some, read_weights
from sparsecpu.networks.description import mlp
from sparsecpu.networks.groups import take_forms
from sparsecpu.registries import defaults
from sparsecpu.step.outcome import refuse_not_finite
from sparsecpu.step.ranges import refuse_beyond
from sparsecpu.step.streams import streams
from sparsecpu.trainer import Trainer
from sparsecpu.training.mpi import communicator


class SparseMLP(ShowsNetwork, Fitted):
    """What classifier and regressor share; ``parameters.py`` says what each parameter is."""

    def __init__(
        self,
        hidden_layer_sizes=(100,),
        activation="relu",
        *,
        density=defaults.ESTIMATOR_DENSITY,
        distribution=defaults.DISTRIBUTION,
        group=defaults.GROUP,
        topology=defaults.ESTIMATOR_TOPOLOGY,
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
        scale="auto",
        dtype="float32",
        precision=defaults.PRECISION,
        n_jobs=None,
        comm=None,
    ):
        self.hidden_layer_sizes = hidden_layer_sizes
        self.activation = activation
        self.density = density
        self.distribution = distribution
        self.group = group
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
        self.scale = scale
        self.dtype = dtype
        self.precision = precision
        self.n_jobs = n_jobs
        self.comm = comm

    def fit(self, X: Any, y: Any, sample_weight: Any = None) -> Self:
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
        goes_on = hasattr(self, "network_") and isinstance(self.warm_start, (bool, np.bool_))
        fresh = not (goes_on and self.warm_start)
        with in_training(self), all_or_nothing(self, fresh):
            X, targets, weights = self._prepare(X, y, sample_weight, reset=fresh)
            if weights is not None and (weights == 0).any():
                keep = weights > 0  # a weight of 0 is the same as absence
                X, targets, weights = X[keep], targets[keep], weights[keep]
            seed = self._draw_seed()
            if fresh:
                self._build(X, targets, seed)
                self._learn_scale(X, targets, weights)
                begin(self)
            targets = self._scaled(targets)
            self._fit(X, targets, weights, seed, fresh)
        return self

    def _fit(self, X, targets, weights, seed: int, fresh: bool) -> None:
        """Train on what was checked, with early stopping if it is asked for."""
        callbacks: list[Callback] = [history := History()]
        best = BestModel() if self.early_stopping else None
        if best is not None:
            classes = targets if self._stratified(targets) else None
            X, targets, weights, *held = held_out(
                X, targets, weights, self.validation_fraction, seed, classes
            )
            few = few_of(X, targets, weights, held[0].shape[0], seed)
            callbacks += [
                Validation(lambda network: self._quality(*held)),
                Validation(lambda network: self._quality(*few), "train_score"), best,
            ]  # fmt: skip
        rate, stopper = make_rate(self, self.t_), Stopper(self)
        callbacks += followers(self, rate, stopper, X.shape[0], whole=True)
        trainer = make_trainer(self, X.shape[0], seed, rate, callbacks)
        if not fresh:
            restart(self.network_)
            stopper.load_state(self._progress.stopper)
            if best is not None and self.best_validation_score_ is not None:
                best.on_epoch_end(trainer, {best.key: self.best_validation_score_})
        self._parts = None
        with nothing_if_it_fails(self):
            with ends_at_ctrl_c(trainer):
                trainer.fit(X, targets, weights)
            if trainer.halted:
                keep_what_is_there(trainer, best)
        remember(self, trainer, history.records, stopper, X.shape[0])
        if not trainer.stop and self.n_iter_ == self.max_iter:
            warnings.warn(
                f"Stochastic Optimizer: Maximum iterations ({self.max_iter}) reached and the "
                "optimization hasn't converged yet.",
                ConvergenceWarning,
                stacklevel=3,
            )

    def _partial_fit(self, X, targets, sample_weight, fresh: bool) -> Trainer:
        """Train for one epoch on these samples."""
        if fresh:
            self._build(X, targets, self._draw_seed())
            self._learn_scale(X, targets, sample_weight)
            begin(self)
        targets = self._scaled(targets)
        trainer, samples = trainer_of_parts(self, X.shape[0]), self.network_.samples(X)
        rate, stopper = gone_on(self)
        history = History()
        trainer.callbacks = [history, *followers(self, rate, stopper, X.shape[0], whole=False)]
        trainer.schedule = rate
        prepared = trainer.loss.prepare(targets, self.n_outputs_)
        with nothing_if_it_fails(self):
            with ends_at_ctrl_c(trainer), trainer.machine():
                trainer.run_epoch(samples, prepared, sample_weight)
            if trainer.halted:
                refuse_not_finite(trainer)
        if not trainer.halted:
            trainer.warn_if_worse(prepared)
        remember(self, trainer, history.records, stopper, X.shape[0])
        return trainer

    def _flat(self, X, *, reset: bool):
        """Return samples whose features are in one axis."""
        return X

    def _prepare(self, X, y, sample_weight, *, reset: bool, part: bool = False):
        """Return checked samples, targets as the loss takes them, and weights or None."""
        check_parameters(self)
        name, flat, y = name_of(y), self._flat(X, reset=reset), read_targets(y)
        X, y = read_samples(self, flat, y, multi_output=True, reset=reset)
        refuse_beyond("X", X, self._type(reset))
        self._target_name = name if reset else self._target_name
        targets = self._encode(y, reset=reset, part=part)
        weights = self._weigh(targets, read_weights(sample_weight, X.shape[0]))
        if weights is not None and not part:  # a part of 0 teaches nothing, and may come
            check_some(weights, "class_weight")
        return X, targets, weights

    def _type(self, fresh: bool) -> np.dtype:
        """Return the type that samples are trained on in: that of the network which goes on."""
        return np.dtype(self.dtype) if fresh else self.network_.dtype

    def _weigh(self, targets, weights):
        return weights

    def _build(self, X, targets, seed: int) -> None:
        """Make the network."""
        sizes = np.atleast_1d(np.asarray(self.hidden_layer_sizes, dtype=object)).tolist()
        self.n_outputs_ = self._count_outputs(targets)
        described = mlp(
            self.n_features_in_,
            tuple(sizes),
            self.n_outputs_,
            activation=self.activation,
            dropout=self.dropout,
            batch_norm=self.batch_norm,
        )
        self._seed = seed
        self._build_described(described, len(targets))

    def _learn_scale(self, X, targets, weights) -> None:
        """Let the new network scale what it reads; weights of samples count."""
        scale_samples(self, X, weights)
        self.network_.facts = facts_of(self)

    def _scaled(self, targets):
        """Return targets as they are trained on."""
        return targets

    def _build_described(self, dense, samples: int) -> None:
        """Make the network of a dense description, as sparse as the parameters say."""
        described = dense.sparsify(self.density, self.distribution)
        self.architecture_ = grouped(self, described, samples)
        refuse_too_large(self, samples)
        rng = streams(self._seed)["init"]
        self.network_ = self.architecture_.build(rng, dtype=np.dtype(self.dtype))
        tell_thin(self)
        take_forms(self.network_, self.group_)

    def _draw_seed(self) -> int:
        """Return the seed of a fit, the same on all ranks."""
        try:
            state = check_random_state(self.random_state)
        except ValueError:
            expected = "None, an integer from 0 to 2**32 - 1 or a numpy.random.RandomState"
            raise ParameterError("random_state", self.random_state, expected) from None
        seed = int(state.randint(np.iinfo(np.int32).max))
        return communicator(self.comm).broadcast(seed)

    def _stratified(self, targets) -> bool:
        return False
