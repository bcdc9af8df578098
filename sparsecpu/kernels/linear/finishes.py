"""What happens to a row of outputs, or of gradients, before it is stored."""

from sparsecpu.kernels.machine.compile import kernel
from sparsecpu.kernels.vectors.arithmetic import (
    add,
    multiply,
    positive_part,
    where_positive,
    without_tiny,
)
from sparsecpu.kernels.vectors.memory import load_like

#: Of outputs: nothing; ``max(y, 0)``; ``y + gate``.
PLAIN, RELU, PLUS = 0, 1, 2
#: Of gradients: 0 where smaller than ``TINY``; that, and 0 where the gate is not positive, which is
#: the backward pass of a ReLU whose output was the gate; ``gate dx`` without what is tiny, which is
#: that of an activation whose slope is the gate; and ``dx`` without what is tiny, plus the gate.
BACK, GATED, BACK_TIMES, BACK_PLUS = 3, 4, 5, 6


@kernel(inlined=True)
def finished(y_i, finish, gate, here):
    """Return a row as it is stored; its gate begins at ``here``."""
    if finish == PLUS:
        y_i = add(y_i, load_like(gate, here, y_i))
    elif finish == RELU:
        y_i = positive_part(y_i)
    elif finish != PLAIN:
        y_i = finished_gradient(y_i, finish, gate, here)
    return y_i


@kernel(inlined=True)
def finished_gradient(dx_i, finish, gate, here):
    """Return a row of gradients as it is stored."""
    if finish == GATED:
        dx_i = where_positive(dx_i, load_like(gate, here, dx_i))
    elif finish == BACK_TIMES:
        dx_i = multiply(dx_i, load_like(gate, here, dx_i))
    dx_i = without_tiny(dx_i)
    if finish == BACK_PLUS:
        dx_i = add(dx_i, load_like(gate, here, dx_i))
    return dx_i
