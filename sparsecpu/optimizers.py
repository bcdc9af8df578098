"""Optimizers on vectors of length nnz; their state lies on the parameters, in named slots."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from typing import ClassVar

import numpy as np

from sparsecpu.errors import ParameterError
from sparsecpu.registries import Registry
from sparsecpu.registries.numbers import is_number
from sparsecpu.registries.words import spelled
from sparsecpu.sparse.dense_parameter import NO_ORDER, Parameter
from sparsecpu.sparse.parameter import SparseParameter


class Optimizer:
    """Base of the optimizers.

    Weight decay acts on matrices alone: sparse weights and tables of embeddings, never on biases
    and norms.
    """

    #: Name that users give.
    name: ClassVar[str] = ""
    #: Vectors as long as the weights that it keeps.
    slots_per_weight: ClassVar[int] = 0
    #: Slot that sparse momentum ranks weights by, or None.
    momentum_slot: ClassVar[str | None] = None
    #: Slots that every parameter has after the first step; None where any may be.
    slot_names: ClassVar[tuple[str, ...] | None] = None
    #: Those of them whose entries are at least 0.
    never_negative: ClassVar[tuple[str, ...]] = ()
    #: True if ``_update`` multiplies gradients by ``scale`` while it reads them.
    scales: ClassVar[bool] = False
    #: Factor of all gradients of a step, below 1 where they are clipped.
    scale: float = 1.0

    def __repr__(self) -> str:
        return spelled(self)

    def step(
        self, parameters: Iterable[Parameter], learning_rate: float, step: int, scale: float = 1.0
    ) -> None:
        """Update every parameter from its gradient.

        Parameters
        ----------
        parameters : iterable of Parameter
            What to update.
        learning_rate : float
            Learning rate of this step.
        step : int
            Number of this step, counted from 0.
        scale : float
            What gradients are multiplied by first.
        """
        self.scale = scale
        for parameter in parameters:
            if scale != 1.0 and not self.scales:
                np.multiply(parameter.grad, scale, out=parameter.grad)
            self._update(parameter, learning_rate, step)

    def apply(
        self,
        parameter: SparseParameter,
        places: slice,
        grad: np.ndarray,
        learning_rate: float,
        step: int,
    ) -> None:
        """Update some of a parameter's values from a gradient that is kept nowhere.

        Parameters
        ----------
        parameter : SparseParameter
            What to update a part of.
        places : slice
            Places of the part.
        grad : ndarray
            Its gradient, which may be overwritten.
        learning_rate : float
            Learning rate of this step.
        step : int
            Number of this step, counted from 0.
        """
        self.scale = 1.0
        self._update(_Part(parameter, places, grad), learning_rate, step)
        parameter.touch()

    def _update(self, parameter: Parameter | _Part, learning_rate: float, step: int) -> None:
        raise NotImplementedError

    @property
    def history_decay(self) -> float:
        """Factor by which one step fades the gradients before it, in ``momentum_slot``."""
        return 0.0

    @property
    def gradient_weight(self) -> float:
        """Factor with which a gradient enters ``momentum_slot``."""
        return 1.0


class _Part:
    """Neighbouring values of a parameter, seen as a parameter; its second copy is left alone."""

    decays = True

    def __init__(self, whole: SparseParameter, places: slice, grad: np.ndarray) -> None:
        self.whole, self.places = whole, places
        self.data, self.grad = whole.data[places], grad

    def slot(self, name: str) -> np.ndarray:
        return self.whole.slot(name)[self.places]

    def second_copy(self) -> tuple[np.ndarray, np.ndarray]:
        return NO_ORDER, self.data[:0]


class SGD(Optimizer):
    r"""Stochastic gradient descent with momentum.

    :math:`v \leftarrow b v + g + \lambda w`, then :math:`w \leftarrow w - \eta v`, or with Nesterov
    :math:`w \leftarrow w - \eta (g + \lambda w + b v)`.

    Parameters
    ----------
    momentum : float
        ``b``, in [0, 1).
    nesterov : bool
        Look ahead along the velocity.
    weight_decay : float
        ``lambda``, at least 0; it acts on matrices alone.

    Raises
    ------
    ParameterError
        If an argument is out of range.
    """

    name, scales = "sgd", True

    def __init__(
        self, momentum: float = 0.9, *, nesterov: bool = True, weight_decay: float = 0.0
    ) -> None:
        if not (is_number(momentum) and 0.0 <= momentum < 1.0):
            raise ParameterError("momentum", momentum, "a number in [0, 1)")
        if not (is_number(weight_decay) and weight_decay >= 0.0):
            raise ParameterError("weight_decay", weight_decay, "a number of at least 0")
        self.momentum, self.nesterov = float(momentum), bool(nesterov)
        self.weight_decay = float(weight_decay)

    @property
    def momentum_slot(self) -> str | None:  # type: ignore[override]
        """``"momentum"``, or None without momentum."""
        return "momentum" if self.momentum > 0 else None

    @property
    def slot_names(self) -> tuple[str, ...]:  # type: ignore[override]
        """``"momentum"``, or none without momentum."""
        return ("momentum",) if self.momentum > 0 else ()

    @property
    def slots_per_weight(self) -> int:  # type: ignore[override]
        return 1 if self.momentum > 0 else 0

    @property
    def history_decay(self) -> float:
        return self.momentum

    def _update(self, parameter: Parameter | _Part, learning_rate: float, step: int) -> None:
        from sparsecpu.kernels.update import sgd_update

        velocity = parameter.slot("momentum") if self.momentum > 0 else parameter.grad
        number = parameter.data.dtype.type
        by_gradient, by_velocity = (1.0, self.momentum) if self.nesterov else (0.0, 1.0)
        sgd_update(
            parameter.data,
            parameter.grad,
            velocity,
            number(learning_rate),
            number(self.momentum),
            number(self.weight_decay if parameter.decays else 0.0),
            number(by_gradient),
            number(by_velocity),
            number(self.scale),
            *parameter.second_copy(),
        )


class Adam(Optimizer):
    r"""Adam, or AdamW where weight decay is decoupled.

    :math:`m \leftarrow \beta_1 m + (1-\beta_1) g`,
    :math:`v \leftarrow \beta_2 v + (1-\beta_2) g^2`,
    :math:`w \leftarrow w - \eta \hat m / (\sqrt{\hat v} + \epsilon)`.

    Parameters
    ----------
    beta1, beta2 : float
        Decay of the two moments, in [0, 1). Language models are often trained with a ``beta2`` of
        0.95 or 0.99: the second moment then forgets sooner.
    epsilon : float
        Added to the root.
    weight_decay : float
        At least 0; it acts on matrices alone.
    decoupled : bool
        Let decay act on the weight directly (AdamW) instead of through the gradient.
    epsilon_hat : bool
        Add ``epsilon`` to :math:`\sqrt{v}` before its bias is corrected, as scikit-learn and Keras
        do. PyTorch adds it behind, as written above.

    Raises
    ------
    ParameterError
        If an argument is out of range.

    Notes
    -----
    Kingma and Ba (2015), who write epsilon hat for the one that is added before; Loshchilov and
    Hutter (2019). A weight that grows starts with moments of 0 while the bias correction counts
    all steps, so its first steps are small.
    """

    name, scales = "adam", True
    momentum_slot = "first_moment"
    slots_per_weight = 2
    slot_names = ("first_moment", "second_moment")
    never_negative = ("second_moment",)

    def __init__(
        self,
        beta1: float = 0.9,
        beta2: float = 0.999,
        *,
        epsilon: float = 1e-8,
        weight_decay: float = 0.0,
        decoupled: bool = True,
        epsilon_hat: bool = False,
    ) -> None:
        for name, value in (("beta1", beta1), ("beta2", beta2)):
            if not (is_number(value) and 0.0 <= value < 1.0):
                raise ParameterError(name, value, "a number in [0, 1)")
        if not (is_number(weight_decay) and weight_decay >= 0.0):
            raise ParameterError("weight_decay", weight_decay, "a number of at least 0")
        if not (is_number(epsilon) and epsilon > 0.0):
            raise ParameterError("epsilon", epsilon, "a number above 0")
        self.beta1, self.beta2, self.epsilon = float(beta1), float(beta2), float(epsilon)
        self.weight_decay, self.decoupled = float(weight_decay), bool(decoupled)
        self.epsilon_hat = bool(epsilon_hat)

    @property
    def history_decay(self) -> float:
        return self.beta1

    @property
    def gradient_weight(self) -> float:
        return 1.0 - self.beta1

    def _update(self, parameter: Parameter | _Part, learning_rate: float, step: int) -> None:
        from sparsecpu.kernels.update import adam_update

        number, epsilon = parameter.data.dtype.type, self.epsilon
        if self.epsilon_hat:  # sqrt(v) + e is sqrt(c) times sqrt(v / c) + e / sqrt(c)
            epsilon /= math.sqrt(1.0 - self.beta2 ** (step + 1))
        adam_update(
            parameter.data,
            parameter.grad,
            parameter.slot("first_moment"),
            parameter.slot("second_moment"),
            number(learning_rate),
            number(self.beta1),
            number(self.beta2),
            number(epsilon),
            number(self.weight_decay if parameter.decays else 0.0),
            self.decoupled,
            step + 1,
            number(self.scale),
            *parameter.second_copy(),
        )


#: Optimizers by the name that users give; each takes a momentum first, and ``weight_decay``.
OPTIMIZERS: Registry[Callable[..., Optimizer]] = Registry("optimizer", (SGD, Adam), "optimizers")
