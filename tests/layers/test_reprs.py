"""What networks and their parts look like: a line each, and a table in notebooks."""

import base64
import re
import struct
import tracemalloc
import zlib
from html.parser import HTMLParser

import numpy as np
import pytest

from sparsecpu.callbacks import EarlyStopping
from sparsecpu.layers import Activation, ReLU, Sequential, SparseLinear
from sparsecpu.losses import SoftmaxCrossEntropy
from sparsecpu.networks.models import find_model
from sparsecpu.optimizers import SGD, Adam
from sparsecpu.sparse.pattern import Pattern
from sparsecpu.sparse.picture import counts, image, shares
from sparsecpu.topology import TOPOLOGIES, RigL
from sparsecpu.trainer import Trainer


def lenet():
    return find_model("lenet-300-100")((64,), 10).sparsify(0.1).build()


def test_a_network_in_a_line():
    network = lenet()
    assert repr(network) == "Sequential(64→300→100→10, 5,020 of 50,200 weights, 10 %)"
    trainer = Trainer(network, loss=SoftmaxCrossEntropy(), optimizer=SGD(momentum=0.5), epochs=3)
    assert repr(network) in repr(trainer)
    assert "SGD(momentum=0.5)" in repr(trainer)
    assert "3 epochs" in repr(trainer)
    deep = Sequential([x for _ in range(9) for x in (SparseLinear(4, 4), ReLU())])
    assert "4→4→4→4→4→…→4" in repr(deep)


@pytest.mark.parametrize("name", ["lenet-300-100", "resnet-18", "gpt-cpu"])
def test_a_summary_fits_a_terminal(name):
    network = find_model(name)().sparsify(0.1).build()
    lines = network.summary().split("\n")
    assert max(map(len, lines)) <= 80
    assert lines[0].split() == ["layer", "nnz", "of", "density", "bytes", "FLOPs", "dense"]
    assert lines[-1].split()[2:4] == [f"{network.nnz:,}", f"{network.size:,}"]
    names = [name for name, p in network.sparse_parameters().items()]
    inner = [name for name in names if name.count(".") > 1]
    assert all(any(f"  {name} " in line for line in lines) for name in inner)


@pytest.mark.parametrize("name", ["resnet-8", "vit-tiny", "gpt-nano"])
def test_every_part_is_one_line(name):
    network = find_model(name)().sparsify(0.1).build()
    for part in (network, *network.layers, *network.parameters().values()):
        words = repr(part)
        assert words.startswith(f"{type(part).__name__}(")
        assert "\n" not in words
        assert " at 0x" not in words
        assert len(words) < 100


def test_what_is_out_of_the_usual_is_said():
    assert repr(RigL(update_every=7)) == "RigL(update_every=7)"
    assert repr(Adam(beta2=0.9)) == "Adam(beta2=0.9)"
    assert repr(EarlyStopping(patience=3)) == "EarlyStopping(patience=3)"
    for rule in TOPOLOGIES.values():
        assert repr(rule()) == f"{rule.__name__}()"
    layer = SparseLinear(6, 4, nnz=8)
    assert repr(layer) == "SparseLinear(6→4, 8 of 24 weights, 33.3 %)"
    assert repr(layer.weight) == "SparseParameter(4×6, 8 of 24 weights, 33.3 %, float32)"
    assert repr(Activation.__new__(Activation)) == "Activation()"


def test_cells_count_every_weight_once(rng):
    for shape in ((300, 70), (5, 3), (64, 64), (1, 1000), (130, 65)):
        pattern = Pattern.random(shape, max(1, shape[0] * shape[1] // 5), rng)
        wanted = np.zeros([min(n, 64) for n in shape], dtype=int)
        rows, columns = pattern.to_scipy(np.ones(pattern.nnz)).nonzero()
        for i, j in zip(rows, columns, strict=True):
            wanted[i * wanted.shape[0] // shape[0], j * wanted.shape[1] // shape[1]] += 1
        np.testing.assert_array_equal(counts(pattern), wanted)
    assert (shares(Pattern.full((100, 70))) == 1.0).all()


def test_a_picture_is_a_small_png(rng):
    found = re.search(r"base64,([^\"]+)", image(Pattern.random((500, 40), 900, rng)))[1]
    data = base64.b64decode(found)
    assert data.startswith(b"\x89PNG\r\n\x1a\n")
    width, height = struct.unpack(">II", data[16:24])
    assert (width, height) == (40, 64)
    size = struct.unpack(">I", data[33:37])[0]
    pixels = zlib.decompress(data[41 : 41 + size])
    assert len(pixels) == height * (1 + 4 * width)


def test_a_picture_of_a_large_layer_takes_little_memory():
    wide = 20_000
    indices = np.arange(wide, dtype=np.int32)
    pattern = Pattern((wide, wide), np.arange(wide + 1), indices)
    tracemalloc.start()
    found = image(pattern)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < wide * 200  # bytes; a matrix of booleans has 400,000,000
    assert len(found) < 20_000


class Tags(HTMLParser):
    def __init__(self):
        super().__init__()
        self.open, self.seen = [], []

    def handle_starttag(self, tag, attrs):
        self.seen.append(tag)
        if tag != "img":
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag


def test_tables_in_notebooks():
    network = lenet()
    layer, trainer = network.layers[0], Trainer(network, loss=SoftmaxCrossEntropy())
    for thing, pictures in (
        (network, 3), (layer, 1), (layer.weight, 1), (layer.weight.pattern, 1), (trainer, 3),
        (network.compile(), 3),
    ):  # fmt: skip
        tags = Tags()
        tags.feed(thing._repr_html_())
        assert not tags.open
        assert tags.seen.count("img") == pictures
        assert "script" not in tags.seen
    many = Sequential([x for _ in range(150) for x in (SparseLinear(4, 4), ReLU())])
    tags = Tags()
    tags.feed(many._repr_html_())
    assert tags.seen.count("tr") == 101
    assert "200 rows more" in many._repr_html_()
