"""Sparse convolutional networks as scikit-learn classifiers."""

from __future__ import annotations

import math

import numpy as np

from sparsecpu.errors import DataError, ParameterError
from sparsecpu.estimators.classifier import SparseMLPClassifier
from sparsecpu.estimators.memory import refuse_too_large
from sparsecpu.estimators.parameters import documented
from sparsecpu.networks.models import find_model, model_names
from sparsecpu.networks.models.convolutional import as_image
from sparsecpu.registries import defaults
from sparsecpu.step.standardising import standardise
from sparsecpu.step.streams import streams


@documented
class SparseCNNClassifier(SparseMLPClassifier):
    """Convolutional classifier that is sparse from the first step to the last.

    Pixels are standardised channel by channel, by the statistics of the training samples.

    {parameters}

    Attributes
    ----------
    image_shape_ : tuple of ints
        Shape of one sample.
    classes_, n_features_in_, n_iter_, loss_, loss_curve_, network_, architecture_, density_ : \
object
        As in ``SparseMLPClassifier``.
    """

    image_shape_: tuple[int, ...]
    # What an MLP has beside these.
    hidden_layer_sizes = ()
    activation = "relu"
    dropout, batch_norm = 0.0, False
    power_t, beta_1, beta_2, epsilon = 0.5, 0.9, 0.999, 1e-8

    def __init__(
        self,
        model="vgg16-small",
        *,
        width=1.0,
        image_shape=None,
        density=defaults.DENSITY,
        distribution=defaults.DISTRIBUTION,
        topology=defaults.TOPOLOGY,
        solver=defaults.IMAGE_ESTIMATOR.optimizer,
        alpha=0.01,
        batch_size=defaults.IMAGE_ESTIMATOR.batch_size,
        learning_rate="constant",
        learning_rate_init=defaults.IMAGE_ESTIMATOR.learning_rate,
        max_iter=defaults.IMAGE_ESTIMATOR.epochs,
        shuffle=True,
        random_state=None,
        tol=1e-4,
        verbose=False,
        warm_start=False,
        momentum=0.9,
        nesterovs_momentum=True,
        early_stopping=False,
        validation_fraction=0.1,
        n_iter_no_change=10,
        dtype="float32",
        precision=defaults.PRECISION,
        class_weight=None,
        n_jobs=None,
        comm=None,
    ):
        self.model = model
        self.width = width
        self.image_shape = image_shape
        self.density = density
        self.distribution = distribution
        self.topology = topology
        self.solver = solver
        self.alpha = alpha
        self.batch_size = batch_size
        self.learning_rate = learning_rate
        self.learning_rate_init = learning_rate_init
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
        self.n_iter_no_change = n_iter_no_change
        self.dtype = dtype
        self.precision = precision
        self.class_weight = class_weight
        self.n_jobs = n_jobs
        self.comm = comm

    def _prepare(self, X, y, sample_weight, *, reset: bool):
        X = self._flat(X, reset=reset)
        found = super()._prepare(X, y, sample_weight, reset=reset)
        self._sample = found[0][:10_000]
        return found

    def _flat(self, X, *, reset: bool):
        """Return samples flat; note or check the shape of their images."""
        shape = np.shape(X)
        if len(shape) < 2:
            return X  # refused by validate_data, with scikit-learn's words
        given, flat = self.image_shape if reset else self.image_shape_, len(shape) == 2
        image = tuple(given) if flat and given is not None else as_image(tuple(shape[1:]))
        if (not reset and image != self.image_shape_) or math.prod(image) != math.prod(shape[1:]):
            raise DataError(f"X has shape {shape}; expected images of shape {given or image}")
        self.image_shape_ = image
        return np.asarray(X).reshape(shape[0], -1)

    def _build(self, targets, seed: int) -> None:
        """Make the network, and let it standardise its input."""
        described = self.model if callable(self.model) else find_model(self.model)
        if described is None:
            expected = f"one of {model_names()}, or a function"
            raise ParameterError("model", self.model, expected)
        self.n_outputs_ = self._count_outputs(targets)
        options = {} if callable(self.model) or self.width == 1.0 else {"width": self.width}
        dense = described(self.image_shape_, self.n_outputs_, **options)
        self.architecture_ = dense.sparsify(self.density, self.distribution)
        self._seed = seed
        refuse_too_large(self, len(targets))
        self.network_ = self.architecture_.build(streams(seed)["init"], dtype=np.dtype(self.dtype))
        standardise(self.network_, self._sample, "channel")
        del self._sample

    def partial_fit(self, X, y, classes=None, sample_weight=None):
        X = self._flat(X, reset=not hasattr(self, "network_"))
        self._sample = X[:10_000]
        return super().partial_fit(X, y, classes, sample_weight)

    def _raw(self, X) -> np.ndarray:
        from sklearn.utils.validation import check_is_fitted

        check_is_fitted(self, "network_")
        return super()._raw(self._flat(X, reset=False))

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.input_tags.sparse = False
        tags.input_tags.three_d_array = True
        return tags
