"""What a layer may know about the batch."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from sparsecpu.step.gradient_view import GradientView
from sparsecpu.step.workspace import Workspace


@dataclass
class Context:
    """What a layer may know about the batch that passes through it.

    Parameters
    ----------
    workspace : Workspace
        Where its arrays come from.
    train : bool
        Whether this pass is for training (dropout acts, batch statistics are used).
    n_valid : int
        Samples in the batch; the lanes after them hold padding, which must not reach a bias
        gradient, a statistic or dW.
    dropout : numpy.random.Generator or None
        Stream for dropout.
    observe : callable or None
        ``observe(parameter, view)``: topology reads a layer's gradient, while the step lasts.
    precision : {"fp32", "bf16", "fp16"}
        How layers may read their inputs; see ``SparseLinear``.
    comm : Communicator or None
        The ranks that share this batch, where there are several; see ``distributed``.
    all_rows : ndarray of int64 or None
        The samples of the whole batch then.
    grad_ready : callable or None
        ``grad_ready(layer)``: told in the backward pass when a layer has its gradients.
    in_turn : bool
        Whether the layers are a plain chain, in which a layer's gradient is not needed any more
        once the layer before it has its own; two arrays in turn serve them all then.
    predicts : bool
        Whether no backward pass will follow: outputs are not needed either, then, once the next
        layer has its own.
    lean : bool
        Whether layers do without a column-by-column index and without a gradient vector.
    apply : callable or None
        ``apply(parameter, places, grad)``: takes a lean layer's gradients, a run of rows at a time.
    """

    workspace: Workspace = field(default_factory=Workspace)
    train: bool = False
    n_valid: int = 0
    dropout: np.random.Generator | None = None
    observe: Callable[[Any, GradientView], None] | None = None
    precision: str = "fp32"
    comm: Any = None
    all_rows: np.ndarray | None = None
    grad_ready: Callable[[Any], None] | None = None
    in_turn: bool = False
    predicts: bool = False
    lean: bool = False
    apply: Callable[[Any, slice, np.ndarray], None] | None = None

    def narrow(self, owner: Any, x: np.ndarray, precision: str) -> np.ndarray:
        """Return a copy of activations in 16 bits, in the workspace.

        Parameters
        ----------
        owner : object
            Who asks; it has one such copy per precision.
        x : ndarray of float32
            What to copy.
        precision : {"bf16", "fp16"}
            The form; see ``kernels.narrow``.

        Returns
        -------
        ndarray
            The copy.
        """
        from sparsecpu.kernels.vectors.sixteen_bits import narrow_shape, narrowed

        shape, kind = narrow_shape(x.shape, precision)
        return narrowed(x, self.workspace.array(owner, precision, shape, kind), precision)
