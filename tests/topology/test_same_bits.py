"""What grows does not depend on the BLAS beside us, nor on its threads."""

import os
import subprocess
import sys
from pathlib import Path

#: Prints a mark of what two sources and the gradient of a batch choose in a layer.
CODE = """
import zlib
import numpy as np
from sparsecpu.layers.linear_view import LinearView
from sparsecpu.sparse.parameter import SparseParameter
from sparsecpu.sparse.pattern import Pattern
from sparsecpu.topology.sources import Tiles, Window
from sparsecpu.topology.tile_search import largest_gradients

rng = np.random.default_rng(0)
parameter = SparseParameter(Pattern.random((150, 310), 3000, rng), np.ones(3000))
options = dict(steps=2, batch_size=128, momentum=0.9, gradient_weight=0.1, interval=8)
sources = [Window(parameter, **options), Tiles(parameter, parts=4, **options)]
for left in range(8, 0, -1):
    view = LinearView(*(rng.standard_normal((2, n, 64)).astype(np.float32) for n in (310, 150)))
    for source in sources:
        source.observe(8 - left, left, view)
for found in (*(s.top(3000, 8) for s in sources), largest_gradients(parameter, view, 3000)):
    print([zlib.crc32(array.tobytes()) for array in found])
"""


def test_growth_does_not_depend_on_blas():
    def marks(**environment):
        environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2]), **environment}
        return subprocess.run(
            [sys.executable, "-c", CODE], env=environment, capture_output=True, text=True,
            check=True, timeout=300,
        ).stdout  # fmt: skip

    here = marks(OPENBLAS_CORETYPE="Haswell", OPENBLAS_NUM_THREADS="1")
    assert here.count("[") == 3
    assert marks(OPENBLAS_CORETYPE="Prescott", OPENBLAS_NUM_THREADS="2") == here
