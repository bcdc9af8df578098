"""Ten training steps to repeat: networks with masked weights, and batches, in plain NumPy.

``data/record_torch_losses.py`` makes these steps in PyTorch, ``training/test_replay.py`` in ours.
"""

import numpy as np

STEPS, BATCH = 10, 32
#: Weight decay acts on weights, not on biases and normalisations.
OPTIMIZERS = {
    "sgd": {"learning_rate": 0.05, "momentum": 0.9, "weight_decay": 1e-3},
    "adamw": {"learning_rate": 0.01, "weight_decay": 1e-2},
}
SMOOTHING = 0.1


def masked(shape, density, rng):
    """Weights of which a fraction is there, and 0 elsewhere."""
    fan_in = density * np.prod(shape[1:])
    weights = rng.standard_normal(shape) * np.sqrt(2 / fan_in) * (rng.random(shape) < density)
    return weights.astype(np.float32)


def mlp(rng):
    """20-150-60-4 with a batch normalisation."""
    return (20,), [
        ("linear", masked((150, 20), 0.2, rng)),
        ("batch_norm", 150),
        ("relu", None),
        ("linear", masked((60, 150), 0.1, rng)),
        ("relu", None),
        ("linear", masked((4, 60), 1.0, rng)),
    ]


def cnn(rng):
    """Two convolutions of 3 x 3 filters on images of 2 x 8 x 8."""
    return (2, 8, 8), [
        ("conv", masked((8, 2, 3, 3), 0.6, rng)),
        ("batch_norm", 8),
        ("relu", None),
        ("max_pool", 2),
        ("conv", masked((12, 8, 3, 3), 0.25, rng)),
        ("relu", None),
        ("flatten", None),
        ("linear", masked((4, 192), 0.2, rng)),
    ]


def steps_of(network):
    """Return the shape of a sample, the layers, all samples and their classes."""
    rng = np.random.default_rng(7)
    shape, layers = {"mlp": mlp, "cnn": cnn}[network](rng)
    y = rng.integers(0, 4, STEPS * BATCH)
    centres = 0.7 * rng.standard_normal((4, *shape))
    x = (rng.standard_normal((STEPS * BATCH, *shape)) + centres[y]).astype(np.float32)
    return shape, layers, x, y
