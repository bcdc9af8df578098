"""What training minimises: the mean over the samples of a loss of the network's raw outputs."""

from __future__ import annotations

import math
from typing import Any, ClassVar

import numpy as np

from sparsecpu.errors import DataError, ParameterError
from sparsecpu.registries import Registry
from sparsecpu.registries.numbers import is_number
from sparsecpu.registries.words import spelled
from sparsecpu.step.context import Context
from sparsecpu.step.sequences import checked_tokens

_NO_WEIGHTS = np.empty(0, dtype=np.float64)


class Loss:
    """Base of the losses: how targets are stored, and how the samples of a batch are weighted."""

    #: Name in files and on the command line.
    name: ClassVar[str] = ""
    #: True if it looks at each token of sequences, not at samples.
    of_tokens: ClassVar[bool] = False
    #: True if it takes outputs in parts, too, which do not all stand in memory at the same time. A
    #: subclass that replaces ``__call__`` does not, unless it says so itself.
    takes_parts: ClassVar[bool] = False

    def __init_subclass__(cls) -> None:
        super().__init_subclass__()
        if "__call__" in vars(cls) and "takes_parts" not in vars(cls):
            cls.takes_parts = False

    def __repr__(self) -> str:
        return spelled(self)

    def prepare(self, targets: Any, n_outputs: int) -> np.ndarray:
        """Return targets as the kernels read them, float64 of shape (samples, n_outputs) here.

        Parameters
        ----------
        targets : array_like
            One entry (or row) per sample.
        n_outputs : int
            Outputs of the network.

        Raises
        ------
        ParameterError
            If they do not match the outputs.
        """
        expected = f"{n_outputs} numbers per sample"
        array = _numbers(targets, expected)
        array = array.reshape(len(array), math.prod(array.shape[1:]))
        if array.shape[1] != n_outputs:
            raise ParameterError("targets", array.shape, expected)
        return np.require(array, np.float64, ["C", "A"])

    def of_zeros(self, targets: np.ndarray, n_outputs: int) -> float:
        """Return the mean loss of outputs that are all 0, or 0 where nothing is known of it.

        Parameters
        ----------
        targets : ndarray
            As ``prepare`` returned them.
        n_outputs : int
            Outputs of the network.
        """
        return 0.0

    def __call__(
        self,
        z: np.ndarray,
        rows: np.ndarray,
        targets: np.ndarray,
        ctx: Context,
        weights: np.ndarray | None = None,
    ) -> tuple[float, np.ndarray]:
        r"""Return :math:`\sum_i w_i \ell_i / \sum_i w_i`, and its gradient in the workspace.

        ``z`` has shape (tiles, n_outputs, lanes), as its gradient does; ``rows`` (batch,) says
        which entries of ``targets`` and ``weights`` the samples belong to.
        """
        batch = rows if ctx.all_rows is None else ctx.all_rows
        total = float(len(batch)) if weights is None else float(weights[batch].sum())
        scale = 1.0 / total if total > 0 else 0.0
        dz = ctx.workspace.array(self, "dz", z.shape, z.dtype)
        tile_loss = ctx.workspace.array(self, "tile_loss", z.shape[:1], np.float64)
        given = _NO_WEIGHTS if weights is None else weights
        self._run(z, rows, targets, given, scale, dz, tile_loss, ctx)
        return float(tile_loss.sum()), dz

    def _run(self, z, rows, targets, weights, scale, dz, tile_loss, ctx) -> None:
        """Call the loss's kernel."""
        raise NotImplementedError


class SoftmaxCrossEntropy(Loss):
    r"""Cross-entropy of a softmax over classes, with label smoothing.

    :math:`\ell = -\sum_c q_c \log \mathrm{softmax}(z)_c` with :math:`q_c = (1 - s)[c = y] + s / C`.

    Parameters
    ----------
    label_smoothing : float
        ``s``, in [0, 1).

    Raises
    ------
    ParameterError
        If ``label_smoothing`` is out of range.
    """

    name = "softmax-cross-entropy"

    def __init__(self, label_smoothing: float = 0.0) -> None:
        if not (is_number(label_smoothing) and 0.0 <= label_smoothing < 1.0):
            raise ParameterError("label_smoothing", label_smoothing, "a number in [0, 1)")
        self.label_smoothing = float(label_smoothing)

    def prepare(self, targets: Any, n_outputs: int) -> np.ndarray:
        """Return class numbers as int32, shape (samples,).

        Parameters
        ----------
        targets : array_like of int, shape (samples,)
            Class numbers.
        n_outputs : int
            Number of classes.

        Raises
        ------
        ParameterError
            If they are not integers in ``[0, n_outputs)``.
        """
        expected = f"class numbers from 0 to {n_outputs - 1}"
        array = _numbers(targets, expected)
        if array.ndim != 1 or (len(array) and array.dtype.kind not in "iu"):
            words = f"{array.dtype} of shape {array.shape}"
            hint = "; y.argmax(axis=1) makes them of one-hot labels" if array.ndim == 2 else ""
            raise ParameterError("targets", words, f"{expected}, one per sample{hint}")
        if len(array) and not 0 <= array.min() <= array.max() < n_outputs:
            wrong = next(y for y in array.tolist() if not 0 <= y < n_outputs)
            raise ParameterError("targets", wrong, expected)
        return np.require(array, np.int32, ["C", "A"])

    def of_zeros(self, targets, n_outputs) -> float:
        return math.log(n_outputs)

    def _run(self, z, rows, targets, weights, scale, dz, tile_loss, ctx) -> None:
        from sparsecpu.kernels.loss import softmax_cross_entropy

        softmax_cross_entropy(z, rows, targets, weights, self.label_smoothing, scale, dz, tile_loss)


class TokenCrossEntropy(SoftmaxCrossEntropy):
    r"""Cross-entropy of a softmax over a vocabulary, for each token of sequences.

    :math:`\ell = -\sum_c q_c \log \mathrm{softmax}(z_t)_c` at each token t, with q as for classes;
    the loss of a batch is the mean over its tokens that have a target.

    Parameters
    ----------
    label_smoothing : float
        Part of the target that the whole vocabulary shares, in [0, 1).

    Raises
    ------
    ParameterError
        If ``label_smoothing`` is out of range.
    """

    name, of_tokens, takes_parts = "token-cross-entropy", True, True

    def prepare(self, targets: Any, n_outputs: int) -> np.ndarray:
        """Return token numbers as they are; each batch is checked when it is read.

        Parameters
        ----------
        targets : array_like of int, shape (samples, length)
            What is to be said at each token, such as the one that comes next; -1 for nothing.
        n_outputs : int
            Size of the vocabulary.

        Raises
        ------
        ParameterError
            If they are not integers of that shape.
        """
        expected = "token numbers of shape (samples, length)"
        array = _numbers(targets, expected)
        if array.ndim != 2 or array.dtype.kind not in "iu":
            raise ParameterError("targets", f"{array.dtype} of shape {array.shape}", expected)
        return array

    def __call__(self, z, rows, targets, ctx, weights=None) -> tuple[float, np.ndarray]:
        """Return the mean loss of tokens, each with its sequence's weight, and its gradient.

        ``z`` may be outputs in parts (``layers.linear_parts``), and is the gradient itself then.
        """
        place = ctx.sequences.place
        batch = rows if ctx.all_rows is None else ctx.all_rows
        asked = checked_tokens("targets", targets[batch], batch, z.shape[1])
        of_each = np.count_nonzero(asked >= 0, axis=1)
        total = float(of_each.sum() if weights is None else of_each @ weights[batch])
        here = targets[rows] if batch is not rows else asked
        told = here >= 0
        if told[:, place.shape[1] :].any() or (told[:, : place.shape[1]] & (place < 0)).any():
            raise DataError("there are targets at which x has no token; expected -1 there")
        told = told[:, : place.shape[1]]
        at, tokens = place[:, : told.shape[1]][told], here[:, : place.shape[1]][told]
        lanes = np.full(z.shape[0] * z.shape[2], -1, np.int32)
        lanes[at] = tokens
        of_lanes = np.zeros(len(lanes), z.dtype)
        scale = 1.0 / total if total > 0 else 0.0
        of_lanes[at] = scale * (1.0 if weights is None else weights[rows].repeat(told.sum(axis=1)))

        def of_part(z: np.ndarray, first: int) -> tuple[float, np.ndarray]:
            part = slice(first, first + z.shape[0] * z.shape[2])
            return self._of_lanes(z, lanes[part], of_lanes[part], ctx)

        return of_part(z, 0) if isinstance(z, np.ndarray) else z.each(of_part)

    def _of_lanes(self, z, targets, weights, ctx) -> tuple[float, np.ndarray]:
        """Return the summed loss of tokens, one a lane, and its gradient."""
        from sparsecpu.kernels.token_loss import strips_of_tile, token_loss_kernel

        tiles, _, lanes = z.shape
        memory = ctx.workspace.array
        dz = memory(self, "dz", z.shape, z.dtype)
        scratch = memory(self, "scratch", (3, tiles, lanes), z.dtype)
        losses = memory(self, "losses", (tiles * strips_of_tile(lanes, z.itemsize),), np.float64)
        run = token_loss_kernel(lanes, z.itemsize)
        run(z, targets, weights, self.label_smoothing, dz, scratch, losses)
        return float(losses.sum()), dz


def _numbers(targets: Any, expected: str) -> np.ndarray:
    """Return targets as an array of real numbers with an axis of samples; refuse all others."""
    try:
        array = np.asarray(targets)
        if array.dtype.kind == "O":
            array = array.astype(np.float64)
    except (TypeError, ValueError, OverflowError) as error:
        words = f"{expected} ({error})"
        raise ParameterError("targets", type(targets).__name__, words) from error
    if array.ndim == 0 or array.dtype.kind not in "biuf":
        words = f"{array.dtype} of shape {array.shape}"
        raise ParameterError("targets", words, expected)
    return array


class SigmoidCrossEntropy(Loss):
    r"""Sum over the outputs of independent cross-entropies, for multi-label targets.

    :math:`\ell = \sum_c \log(1 + e^{z_c}) - t_c z_c`, with targets in [0, 1].
    """

    name = "sigmoid-cross-entropy"

    def of_zeros(self, targets, n_outputs) -> float:
        return n_outputs * math.log(2.0)

    def _run(self, z, rows, targets, weights, scale, dz, tile_loss, ctx) -> None:
        from sparsecpu.kernels.loss import sigmoid_cross_entropy

        sigmoid_cross_entropy(z, rows, targets, weights, scale, dz, tile_loss)


class SquaredError(Loss):
    r"""Half the squared error, summed over the outputs: :math:`\ell = \|z - t\|^2 / 2`."""

    name = "squared-error"

    def of_zeros(self, targets, n_outputs) -> float:
        return float(np.vdot(targets, targets)) / (2 * max(len(targets), 1))

    def _run(self, z, rows, targets, weights, scale, dz, tile_loss, ctx) -> None:
        from sparsecpu.kernels.loss import squared_error

        squared_error(z, rows, targets, weights, scale, dz, tile_loss)


def check_loss(loss: Any, network: Any) -> None:
    """Refuse what is no loss, or one of samples where tokens come out of a network, and back."""
    if not isinstance(loss, Loss):
        raise ParameterError("loss", loss, "an object of a subclass of Loss")
    tokens = getattr(network, "output_length", None) is not None
    if loss.of_tokens != tokens:
        comes = "tokens come" if tokens else "a sample comes whole"
        expected = f"one of {'tokens' if tokens else 'samples'}: {comes} out of the network"
        raise ParameterError("loss", loss.name or type(loss).__name__, expected)


def checked_targets(loss: Loss, targets: Any, n_outputs: int, samples: int) -> np.ndarray:
    """Return prepared targets that the loss's kernel may read, of so many samples.

    Raises ``DataError`` if there are none, or another number, and ``ParameterError`` if the
    ``targets`` do not match the ``n_outputs``.
    """
    return readable_targets(loss, loss.prepare(targets, n_outputs), n_outputs, samples)


def readable_targets(loss: Loss, prepared: Any, n_outputs: int, samples: int) -> np.ndarray:
    """Return ``prepared`` targets if the loss's kernel may read them; see ``checked_targets``.

    There must be one for each of the ``samples``, for ``n_outputs``.
    """
    ours: tuple[type[Loss], ...] = (
        TokenCrossEntropy, SoftmaxCrossEntropy, SigmoidCrossEntropy, SquaredError,
    )  # fmt: skip
    for kind in ours:  # whose kernels read them, whoever has prepared them
        if isinstance(loss, kind) and type(loss)._run is kind._run:
            prepared = kind.prepare(loss, prepared, n_outputs)
            break
    if samples == 0 or len(prepared) != samples:
        raise DataError(f"x has {samples} samples and y has {len(prepared)}")
    return prepared


#: Losses by name.
LOSSES: Registry[type[Loss]] = Registry(
    "loss",
    (SoftmaxCrossEntropy, SigmoidCrossEntropy, SquaredError, TokenCrossEntropy),
    "losses",
    {"squared-error": "Half the squared error, summed over the outputs."},
)
