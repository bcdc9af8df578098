"""What layers may know about the batch that passes through them, step by step."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from sparsecpu.step.gradient_view import GradientView
from sparsecpu.step.ranks import ALONE, OneRank
from sparsecpu.step.workspace import Workspace


@dataclass(frozen=True)
class Context:
    """What a layer may know about the batch that passes through it.

    It is made at the start of a pass, unless that of the pass before will do.
    """

    #: Where arrays come from.
    workspace: Workspace = field(default_factory=Workspace)
    #: True in training: dropout acts, and statistics are the batch's.
    train: bool = False
    #: True if no backward pass follows: outputs are not needed once the next layer has read them.
    predicts: bool = False
    #: Samples in the batch; the lanes after them are padding, which must not reach a statistic.
    n_valid: int = 0
    #: Samples of a full batch in training, where the last of an epoch may have fewer; else 0.
    full: int = 0
    #: True if the loss can take outputs in parts; see ``Loss.takes_parts``.
    in_parts: bool = False
    #: How layers may read their inputs: fp32, bf16 or fp16; see ``SparseLinear``.
    precision: str = "fp32"
    #: Stream for dropout.
    dropout: np.random.Generator | None = None
    #: ``observe(parameter, view)`` lets topology read a layer's gradient while the step lasts.
    observe: Callable[[Any, GradientView], None] | None = None
    #: True if layers do without a column-by-column index and without a gradient vector.
    lean: bool = False
    #: ``apply(parameter, places, grad)`` takes a lean layer's gradient, slab by slab.
    apply: Callable[[Any, slice, np.ndarray], None] | None = None
    #: The ranks that share the batch.
    comm: OneRank = ALONE
    #: The samples of the whole step, where these are a part of it: ranks share it, or batches do.
    all_rows: np.ndarray | None = None
    #: ``grad_ready(layer)`` is told in the backward pass when a layer has its gradients.
    grad_ready: Callable[[Any], None] | None = None
    #: What the tokens of streams have left for those that come later, one by one, while a model
    #: generates; see ``layers.network.generation.Memory``.
    memory: Any = None

    @property
    def sequences(self) -> Any:
        """Where the tokens of the batch stand, ``kernels.attention.sequences.Sequences``.

        The layer that makes tokens sets it on the way forward; None where samples are no sequences.
        """
        return self.workspace.sequences

    def output(
        self, owner: Any, name: str, shape: tuple[int, ...], dtype: Any, *, lend: bool = False
    ) -> np.ndarray:
        """Return memory for an output of a layer; lent, where no backward pass will read it.

        Parameters
        ----------
        owner : object
            Whose it is, usually a layer.
        name : str
            What the owner calls it.
        shape : tuple of ints
            Its shape.
        dtype : dtype
            Its type.
        lend : bool
            True if it is not read again in training either.

        Returns
        -------
        ndarray
            See ``Workspace.array`` and ``Workspace.lend``; contents are unspecified.
        """
        if self.predicts or lend:
            return self.workspace.lend(shape, dtype)
        return self.workspace.array(owner, name, shape, dtype)


class StepContexts:
    """Contexts of training steps: that of the step before, where nothing differs."""

    def __init__(self, ranks: OneRank, **constant: Any) -> None:
        self._ranks = ranks
        self._context = Context(Workspace(), train=True, comm=ranks, **constant)
        self._made_for: tuple = ()

    @property
    def workspace(self) -> Workspace:
        """Where the arrays of all steps come from."""
        return self._context.workspace

    def of_step(
        self, rows: np.ndarray, all_rows: np.ndarray, observe: Any, apply: Any,
        in_parts: bool = False, full: int = 0,
    ) -> Context:  # fmt: skip
        """Return what layers may know of a pass of these rows, which are ``all_rows`` or a part.

        ``observe``, ``apply``, ``in_parts`` and ``full`` are those of ``Context``.
        """
        made_for: tuple = len(rows), observe, apply, in_parts, full
        whole = rows is all_rows
        if made_for != self._made_for or not whole:
            shared = self._ranks.of_batch(len(rows), observe)
            self._made_for = made_for if whole else ()
            self._context = replace(
                self._context, n_valid=len(rows), full=full, apply=apply, in_parts=in_parts,
                all_rows=None if whole else all_rows, **shared,
            )  # fmt: skip
        return self._context

    def free(self) -> None:
        """Give back the memory of steps; a further one takes it anew."""
        self._context, self._made_for = replace(self._context, workspace=Workspace()), ()

    def forget_patterns(self) -> None:
        """Let go of what was prepared for patterns that are about to change, and of its memory."""
        self._context.workspace.prepared.clear()
