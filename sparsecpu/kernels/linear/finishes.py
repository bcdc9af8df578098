"""What happens to a row of outputs before it is stored."""

#: What happens to a row of ``y`` before it is stored.
PLAIN, RELU, BACK, GATED = 0, 1, 2, 3
