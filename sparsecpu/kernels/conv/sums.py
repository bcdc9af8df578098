"""Which sums over pixels a kernel makes of its output while it writes it."""

#: None; of y, and of its square; of a gradient g, and of g (x - centre), x being what it is the
#: gradient of.
NO_SUMS, MOMENTS, PRODUCTS = 0, 1, 2
