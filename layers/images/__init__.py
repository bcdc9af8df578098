"""What only layers of images need: planes, taps, and the two ways to convolve."""
