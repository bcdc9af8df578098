"""Whether a loss fits a network, and its targets the loss."""

from __future__ import annotations

from typing import Any

import numpy as np

from sparsecpu.errors import DataError, ParameterError
from sparsecpu.losses.base import Loss
from sparsecpu.losses.of_samples import SigmoidCrossEntropy, SoftmaxCrossEntropy, SquaredError
from sparsecpu.losses.of_tokens import TokenCrossEntropy


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
