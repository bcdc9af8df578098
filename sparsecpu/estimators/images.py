"""Sparse convolutional networks as scikit-learn classifiers."""

from __future__ import annotations

import math
import operator

import numpy as np

from sparsecpu.errors import DataError, ParameterError, brief
from sparsecpu.estimators.classifier import SparseMLPClassifier
from sparsecpu.estimators.parameters import documented
from sparsecpu.experiments.pixels import are_numbered
from sparsecpu.networks.models import expected_model, find_model
from sparsecpu.networks.models.pieces import as_image
from sparsecpu.registries import defaults
from sparsecpu.step.image_shapes import CHANNELS_FIRST, has_channels_last
from sparsecpu.step.standardising import standardise


@documented
class SparseCNNClassifier(SparseMLPClassifier):
    """Convolutional classifier that is sparse from the first step to the last.

    Pixels are standardised channel by channel, by the statistics of the training samples, unless
    ``scale`` says otherwise.

    {parameters}

    Attributes
    ----------
    image_shape_ : tuple of ints
        Shape of one sample.
    classes_, n_features_in_, n_iter_, loss_, loss_curve_, network_, architecture_, density_, \
group_ : object
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
        group=defaults.GROUP,
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
        scale: str | None = "auto",
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
        self.group = group
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
        self.scale = scale
        self.dtype = dtype
        self.precision = precision
        self.class_weight = class_weight
        self.n_jobs = n_jobs
        self.comm = comm

    def _flat(self, X, *, reset: bool):
        if hasattr(X, "tocsr"):
            raise DataError("X is a sparse matrix; expected an array: images are not sparse")
        shape = X.shape if hasattr(X, "shape") else np.asarray(X).shape
        if len(shape) < 2:
            return X  # refused by validate_data, with scikit-learn's words
        wanted = self._given_shape() if reset else self.image_shape_
        image = wanted if len(shape) == 2 and wanted is not None else _image_of(X, shape)
        if wanted not in (None, image) or math.prod(image) != math.prod(shape[1:]):
            raise DataError(f"X has shape {shape}; expected images of shape {wanted}")
        self.image_shape_ = image
        # A table keeps the names of its columns, which validate_data notes or compares.
        return X if len(shape) == 2 else np.asarray(X).reshape(shape[0], -1)

    def _given_shape(self) -> tuple[int, ...] | None:
        """Return ``image_shape`` with its channels, or None."""
        given, expected = self.image_shape, "(height, width) or (channels, height, width)"
        if given is None:
            return None
        try:
            sizes = tuple(map(operator.index, given))
        except TypeError:
            sizes = ()
        if len(sizes) not in (2, 3) or min(sizes) < 1:
            raise ParameterError("image_shape", given, f"{expected}, as whole numbers above 0")
        if has_channels_last(sizes):
            right = (sizes[2], *sizes[:2])
            raise ParameterError("image_shape", given, f"{expected}, such as {right}")
        return as_image(sizes)

    def _build(self, X, targets, seed: int) -> None:
        """Make the network."""
        described = self.model if callable(self.model) else find_model(self.model)
        if described is None:
            raise ParameterError("model", self.model, expected_model(self.model, ", or a function"))
        self.n_outputs_ = self._count_outputs(targets)
        options = {} if callable(self.model) or self.width == 1.0 else {"width": self.width}
        dense = described(self.image_shape_, self.n_outputs_, **options)
        self._seed = seed
        self._build_described(dense, len(targets))

    def _learn_scale(self, X, targets, weights) -> None:
        if self.scale == "auto":
            self.scaling_ = "channel"
            standardise(self.network_, X[:10_000], "channel")
        else:
            super()._learn_scale(X, targets, weights)

    def _raw(self, X) -> np.ndarray:
        from sklearn.utils.validation import check_is_fitted

        check_is_fitted(self, "network_")
        return super()._raw(self._flat(X, reset=False))

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.input_tags.sparse = False
        tags.input_tags.two_d_array = False  # but pixels that come flat
        tags.input_tags.three_d_array = True
        return tags


def _image_of(X, shape: tuple[int, ...]) -> tuple[int, ...]:
    """Return the shape of one image as channels, height, width; refuse samples that are none."""
    if has_channels_last(shape[1:]):
        expected = f"(samples, channels, height, width): X.{CHANNELS_FIRST}"
        raise DataError(f"X has shape {shape}, with channels last; expected {expected}")
    if len(shape) == 2 and not are_numbered(getattr(X, "columns", ("0",))):
        raise DataError(
            f"X has columns such as {brief(X.columns[0])}, which are no pixels; if they are, set "
            "image_shape to (height, width)"
        )
    try:
        return as_image(shape[1:])
    except ParameterError as error:
        raise DataError(f"X has shape {shape}; expected {error.expected}, or image_shape") from None
