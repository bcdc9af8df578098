"""What training leaves behind: whether its numbers are finite, and whether its loss went down."""

from __future__ import annotations

import math
import warnings
from typing import Any

import numpy as np

from sparsecpu.errors import DivergedError, DivergenceWarning
from sparsecpu.step.context import Context

#: A loss so many times the one that it began with says that training went the wrong way.
_FAR = 2.0
#: The loss after the last step must be higher by more: running averages may lag behind.
_VERY_FAR = 1000.0


def first_not_finite(network: Any) -> str:
    """Return what of a network, or of its optimizer's slots, is not finite; "" if all is."""
    for name, parameter in network.parameters().items():
        if not _is_finite(parameter.data):
            return name
        for slot, values in parameter.slots.items():
            if not _is_finite(values):
                return f"the {slot.replace('_', ' ')} of {name}"
    wrong = (name for name, values in network.buffers().items() if not _is_finite(values))
    return next(wrong, "")


def _is_finite(values: np.ndarray) -> bool:
    """Return True if all values are: found in one pass without memory, if their squares are too."""
    if values.dtype.kind != "f":
        return True
    with np.errstate(all="ignore"):
        return math.isfinite(np.vdot(values, values)) or bool(np.isfinite(values).all())


def refuse_not_finite(trainer: Any) -> None:
    """Raise ``DivergedError`` if what a trainer's last step has left is not finite."""
    if where := first_not_finite(trainer.network):
        step, loss = trainer.steps_done - 1, trainer.epoch_loss
        rate = trainer.schedule(step) * trainer.learning_rate_factor
        raise DivergedError(step, loss, rate, where)


def far_above(last: float, first: float | None, of_zeros: float, times: float = _FAR) -> str:
    """Return why a loss at the end of training is far too high, or "".

    It is where it is so many ``times`` above both the ``first`` one, if that is known, and the loss
    of a network whose outputs are all 0, which one that started well may be above.
    """
    begun = of_zeros if first is None else first
    if not last > times * max(begun, of_zeros):
        return ""
    than = "that of outputs of 0" if first is None else "the one that it began with"
    return (
        f"training ended with a loss of {last:.4g}, far above {begun:.4g}, {than}; "
        "a smaller learning rate or a warm-up usually cures this, or scaling the data"
    )


def loss_after(trainer: Any, samples: Any, targets: np.ndarray, weights: Any) -> float:
    """Return the loss of a batch as the last step has left the network; no random stream moves on.

    No step has seen that loss: the first one that is far too high may be of the last.
    """
    network, stream = trainer.network, trainer.rngs["augmentation"].bit_generator
    rows, before = np.arange(min(trainer.batch_size, len(targets))), stream.state
    ctx = Context(
        trainer.contexts.workspace.beside(), n_valid=len(rows), predicts=True,
        in_parts=trainer.loss.takes_parts,
    )  # fmt: skip
    with np.errstate(all="ignore"):
        tiles = network.gather(samples, rows, network.lanes(len(rows)), ctx)
        loss, _ = trainer.loss(network.forward(tiles, ctx)[0], rows, targets, ctx, weights)
    stream.state = before
    return loss if math.isfinite(loss) else math.inf


class LossWatch:
    """Compares the loss that training ends with to the one that it began with; warns once."""

    #: Loss of the first step; None where nobody saw it, as in a resumed run.
    first: float | None = None
    #: True once it has warned.
    warned = False

    def warn_if_far_above(
        self, last: float, after: float, of_zeros: float, stacklevel: int
    ) -> None:
        """Warn if the loss of the last epoch says so, or that after it; see ``far_above``."""
        words = far_above(last, self.first, of_zeros)
        words = words or far_above(after, self.first, of_zeros, _VERY_FAR)
        if words and not self.warned:
            self.warned = True
            warnings.warn(words, DivergenceWarning, stacklevel=stacklevel + 1)
