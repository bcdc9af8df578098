"""What happens to a row of outputs before it is stored."""

#: Nothing; ``max(y, 0)``; as a gradient, 0 where smaller than ``TINY``; that, and 0 where the gate
#: is not positive: the backward pass of a ReLU whose output was the gate.
PLAIN, RELU, BACK, GATED = 0, 1, 2, 3
