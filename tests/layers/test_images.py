"""Pictures: those of make:shapes, their standardisation, and what varies them in training."""

import numpy as np
import pytest
from small import images, small_net

from sparsecpu.callbacks import Callback
from sparsecpu.datasets import make_shapes
from sparsecpu.errors import ParameterError
from sparsecpu.layers import Sequential, SparseConv2d
from sparsecpu.losses import SoftmaxCrossEntropy
from sparsecpu.sparse.parameter import SparseParameter
from sparsecpu.step.augmentation import AugmentedSamples
from sparsecpu.step.samples import ArraySamples
from sparsecpu.step.standardising import standardise
from sparsecpu.topology import SparseMomentum
from sparsecpu.trainer import Trainer


def test_shapes_are_what_they_say(tmp_path):
    data = make_shapes(300)
    assert data.x_train.shape == (300, 3072)
    assert data.x_train.dtype == np.uint8
    np.testing.assert_array_equal(np.bincount(data.y_train), np.full(10, 30))
    again = make_shapes(700)
    np.testing.assert_array_equal(again.x_train[:300], data.x_train)  # i alone decides sample i
    np.testing.assert_array_equal(again.x_test, data.x_test)
    assert (make_shapes(300, seed=1).x_train != data.x_train).mean() > 0.9
    from sklearn.linear_model import RidgeClassifier

    many = make_shapes(1000)
    linear = RidgeClassifier().fit(many.x_train / 255.0, many.y_train)
    assert linear.score(many.x_test / 255.0, many.y_test) < 0.6


def test_images_are_standardised_channel_by_channel(rng):
    net = small_net(rng)
    colour = Sequential([SparseConv2d(3, 2, 3, density=1.0)], (3, 4, 4))
    x = rng.normal([[1.0], [5.0], [-3.0]], [[1.0], [2.0], [9.0]], (200, 3, 16)).reshape(200, -1)
    standardise(colour, x, "channel")
    z = ((x - colour.offset) * colour.scale).reshape(200, 3, -1)
    np.testing.assert_allclose(z.mean(axis=(0, 2)), 0, atol=1e-5)
    np.testing.assert_allclose(z.std(axis=(0, 2)), 1, rtol=1e-5)
    standardise(net, np.zeros((3, 64)), "global")
    assert np.isfinite(net.scale).all()


def test_augmented_images_are_shifted_and_mirrored():
    pixels = np.arange(2 * 9 * 8, dtype=np.float32).reshape(1, -1).repeat(40, axis=0)
    source = AugmentedSamples(ArraySamples(pixels), (2, 9, 8), "crop-flip",
                             np.random.default_rng(0), padding=2)  # fmt: skip
    array, rows = source.take_samples(np.arange(40))
    padded = np.pad(pixels[0].reshape(2, 9, 8), ((0, 0), (2, 2), (2, 2)), mode="reflect")
    seen = set()
    for image in array[rows].reshape(-1, 2, 9, 8):
        found = [
            (dy, dx, step)
            for dy in range(5) for dx in range(5) for step in (1, -1)
            if (padded[:, dy : dy + 9, dx : dx + 8][:, :, ::step] == image).all()
        ]  # fmt: skip
        assert len(found) == 1
        seen.add(found[0])
    assert len(seen) > 15
    plain = AugmentedSamples(ArraySamples(pixels), (2, 9, 8), "crop", np.random.default_rng(0))
    assert plain.take_samples(np.arange(3))[0].shape == (3, 144)
    for shape, kind in (((2, 9, 8), "turn"), ((4, 6, 6), "crop"), ((144,), "crop")):
        with pytest.raises(ParameterError):
            AugmentedSamples(ArraySamples(pixels), shape, kind, None, padding=6)


@pytest.mark.parametrize("kind", ["affine", "affine-flip"])
@pytest.mark.parametrize("dtype", [np.float32, np.uint8])
def test_images_are_turned_resized_and_shifted(kind, dtype, rng):
    """Against SciPy's map of each image by the matrix that its corners say."""
    from scipy.ndimage import map_coordinates

    height, width = 12, 11
    pixels = rng.integers(0, 256, (1, 2, height, width)).astype(dtype)
    places = np.stack(np.mgrid[:height, :width]).astype(np.float32)[None]  # images of places
    count = 60
    made = [
        AugmentedSamples(ArraySamples(x.reshape(1, -1).repeat(count, axis=0)), x.shape[1:], kind,
                        np.random.default_rng(4)).take_samples(np.arange(count))[0]
        .reshape(count, 2, height, width) for x in (pixels, places)
    ]  # fmt: skip
    mirrored = 0
    for image, (y, x) in zip(*made, strict=True):
        inside = (y > 0.5) & (y < height - 1.5) & (x > 0.5) & (x < width - 1.5)
        wanted = np.stack([
            map_coordinates(channel.astype(float), (y, x), order=1) for channel in pixels[0]
        ])  # fmt: skip
        np.testing.assert_allclose(
            image[:, inside], wanted[:, inside], atol=1.0 if dtype is np.uint8 else 0.01
        )
        assert inside.mean() > 0.4
        mirrored += bool(np.median(np.diff(x, axis=1)) < 0)
        size = np.hypot(np.median(np.diff(y, axis=0)), np.median(np.diff(x, axis=0)))
        assert 0.85 < size < 1.15
    assert (10 < mirrored < 50) if kind == "affine-flip" else mirrored == 0


def test_augmented_training_resumes_bit_for_bit(tmp_path):
    """A run in two parts equals a run in one, variations of the images included."""
    x, y = images(64)

    def made():
        net = small_net(np.random.default_rng(0))
        trainer = Trainer(net, loss=SoftmaxCrossEntropy(), epochs=4, batch_size=16, seed=3,
                          topology=SparseMomentum(window=1, update_every=3))  # fmt: skip
        rng = trainer.rngs["augmentation"]
        return trainer, AugmentedSamples(ArraySamples(x), (1, 8, 8), "crop-flip", rng, padding=1)

    whole, source = made()
    whole.fit(source, y)

    class Break(Callback):
        def on_epoch_end(self, trainer, record):
            trainer.stop = trainer.epochs_done == 2

    first, source = made()
    first.callbacks.append(Break())
    first.fit(source, y)
    values, arrays = first.state()
    second, source = made()
    for name, parameter in second.network.parameters().items():
        old = first.network.parameters()[name]
        if isinstance(parameter, SparseParameter):
            parameter.restore(old.pattern, {"data": old.data.copy()})
        else:
            parameter.data = old.data
    for name, buffer in second.network.buffers().items():
        buffer[...] = first.network.buffers()[name]
    second.load_state({**values, "stop": False}, arrays, 64)
    second.fit(source, y)
    for a, b in zip(whole.network.parameters().values(), second.network.parameters().values(),
                    strict=True):  # fmt: skip
        np.testing.assert_array_equal(a.data, b.data)
