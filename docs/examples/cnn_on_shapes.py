"""A sparse residual network learns to name shapes; what it says of ten pictures is drawn."""

import sys
import warnings
from pathlib import Path

import numpy as np
from sklearn.exceptions import ConvergenceWarning

from sparsecpu import SparseCNNClassifier
from sparsecpu.datasets import open_data
from sparsecpu.experiments.plots.figures import figure, keep

warnings.simplefilter("ignore", ConvergenceWarning)  # so many epochs are meant to be all
out = Path(sys.argv[1] if len(sys.argv) > 1 else ".")
samples = int(sys.argv[2]) if len(sys.argv) > 2 else 4000
shapes = open_data("make:shapes", samples=samples)
images = (-1, 3, 32, 32)
network = SparseCNNClassifier(
    "resnet-8:stem_stride=2",
    width=0.5,
    density=0.5,
    topology="rigl:update_every=100",
    alpha=5e-4,
    learning_rate_init=0.15,
    batch_size=32,
    max_iter=8,
    warm_start=True,
    random_state=0,
)
network.fit(shapes.x_train.reshape(images), shapes.y_train)
network.set_params(learning_rate_init=0.02, max_iter=3)  # and a little slower at the end
network.fit(shapes.x_train.reshape(images), shapes.y_train)
probability = network.predict_proba(shapes.x_test.reshape(images))
said = probability.argmax(axis=1)

print(f"{'shape':<10}{'right %':>8}   most often taken for")
for number, name in enumerate(shapes.classes):
    mine = shapes.y_test == number
    others = np.bincount(said[mine & (said != number)], minlength=10)
    wrong = str(shapes.classes[others.argmax()]) if others.any() else "-"
    print(f"{name:<10}{100 * (said[mine] == number).mean():>8.1f}   {wrong}")
right = said == shapes.y_test
print(f"all{100 * right.mean():>15.1f}   of {len(right)} pictures that it had not seen; "
      f"density {network.density_:.2f}")  # fmt: skip

fig, axes = figure(2, 5, figsize=(9, 4))
chosen = [np.flatnonzero(shapes.y_test == number)[3] for number in range(10)]
for ax, i in zip(axes.flat, chosen, strict=True):
    ax.imshow(shapes.x_test[i].reshape(images[1:]).transpose(1, 2, 0))
    ax.set_title(f"{shapes.classes[said[i]]} {100 * probability[i].max():.0f} %",
                 color="#2b6ca3" if right[i] else "#c8553d", fontsize=10)  # fmt: skip
    ax.axis("off")
keep(fig, out / "cnn_on_shapes.png")
print(f"drawn: {out / 'cnn_on_shapes.png'} (red: mistaken)")
