"""A ResNet-18 with the names and the order of torchvision's, which need not be installed."""

import json

import numpy as np
import pytest
from commands import run

from sparsecpu.errors import FileFormatError
from sparsecpu.files.model import load
from sparsecpu.interop import import_network
from sparsecpu.models import resnet

torch = pytest.importorskip("torch")
#: Factor of the channels, to keep it small.
WIDTH = 0.125


def block(inner, outer, stride):
    layers = torch.nn.Module()
    layers.conv1 = torch.nn.Conv2d(inner, outer, 3, stride, 1, bias=False)
    layers.bn1 = torch.nn.BatchNorm2d(outer)
    layers.conv2 = torch.nn.Conv2d(outer, outer, 3, 1, 1, bias=False)
    layers.bn2 = torch.nn.BatchNorm2d(outer)
    if stride > 1 or inner != outer:
        short = torch.nn.Conv2d(inner, outer, 1, stride, bias=False)
        layers.downsample = torch.nn.Sequential(short, torch.nn.BatchNorm2d(outer))
    return layers


def through_block(layers, x):
    y = torch.relu(layers.bn1(layers.conv1(x)))
    y = layers.bn2(layers.conv2(y))
    return torch.relu(y + (layers.downsample(x) if hasattr(layers, "downsample") else x))


@pytest.fixture(scope="module")
def theirs():
    """Return the network, with statistics of its norms that are not the first ones."""
    torch.manual_seed(0)
    net, widths = torch.nn.Module(), [int(WIDTH * c) for c in (64, 64, 128, 256, 512)]
    net.conv1 = torch.nn.Conv2d(3, widths[0], 7, 2, 3, bias=False)
    net.bn1 = torch.nn.BatchNorm2d(widths[0])
    for i in range(1, 5):
        blocks = block(widths[i - 1], widths[i], 1 + (i > 1)), block(widths[i], widths[i], 1)
        setattr(net, f"layer{i}", torch.nn.Sequential(*blocks))
    net.fc = torch.nn.Linear(widths[-1], 1000)
    for module in net.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            torch.nn.init.uniform_(module.weight, 0.5, 1.5)
            torch.nn.init.uniform_(module.running_mean, -0.1, 0.1)
            torch.nn.init.uniform_(module.running_var, 0.5, 1.5)
    return net.eval()


def predict(net, x):
    with torch.no_grad():
        y = torch.relu(net.bn1(net.conv1(torch.from_numpy(x))))
        y = torch.nn.functional.max_pool2d(y, 3, 2, 1)
        for i in range(1, 5):
            for layers in getattr(net, f"layer{i}"):
                y = through_block(layers, y)
        return net.fc(y.mean((2, 3))).numpy()


def test_it_predicts_the_same(theirs):
    described = resnet((3, 40, 40), 1000, width=WIDTH, stem_size=7)
    network, report = import_network(theirs.state_dict(), described)
    assert not report.missing
    assert not report.unused
    x = np.random.default_rng(0).standard_normal((2, 3, 40, 40), np.float32)
    assert np.allclose(network.predict(x.reshape(2, -1)), predict(theirs, x), atol=1e-4)


def test_the_command_takes_the_stem_of_the_file(theirs, tmp_path):
    torch.save(theirs.state_dict(), tmp_path / "resnet18.pt")
    command = ["import", str(tmp_path / "resnet18.pt"), "--model", "resnet-18", "--json"]
    out = str(tmp_path / "m.npz")
    document = json.loads(run(*command, "--width", WIDTH, "--density", 0.2, "--out", out).stdout)
    assert not document["missing"]
    assert not document["unused"]
    network, facts = load(out)
    assert network.input_shape == (3, 32, 32)
    assert len(facts["classes"]) == 1000


def test_another_network_is_refused_in_a_short_line(theirs):
    with pytest.raises(FileFormatError) as error:
        import_network(theirs.state_dict(), resnet((3, 32, 32), 1000, width=WIDTH, stem_size=3))
    words = str(error.value)
    assert "(8, 3, 3, 3)" in words
    assert "conv1 (8, 3, 7, 7)" in words
    assert len(words) < 400


def test_torchvision_itself():
    torchvision = pytest.importorskip("torchvision")
    net = torchvision.models.resnet18(weights=None, num_classes=10).eval()
    described = resnet((3, 33, 40), 10, stem_size=7)
    network, report = import_network(net.state_dict(), described)
    assert not report.missing
    assert not report.unused
    x = np.random.default_rng(0).standard_normal((2, 3, 33, 40), np.float32)
    with torch.no_grad():
        y = net(torch.from_numpy(x)).numpy()
    assert np.allclose(network.predict(x.reshape(2, -1)), y, atol=1e-3)
