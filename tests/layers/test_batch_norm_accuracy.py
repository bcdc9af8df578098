"""BatchNorm in float32 where the mean is far from 0: as exact as with a mean of 0."""

import naive
import numpy as np
import pytest
from small import made

from sparsecpu.kernels.machine.threads import use_threads
from sparsecpu.layers import (
    AvgPool2d,
    BatchNorm,
    Dropout,
    MaxPool2d,
    Parallel,
    ReLU,
    Residual,
    Sequential,
    SparseConv2d,
    Spec,
)
from sparsecpu.layers.images.passes import as_array
from sparsecpu.losses import SquaredError
from sparsecpu.step.context import Context
from sparsecpu.step.workspace import Workspace
from tests.ranks import together

BATCH = 21  # the last of two tiles is mostly padding
EPSILON = 1e-5
RATIOS = [0.0, 10.0, 100.0, 1e3, 1e4]
#: Rounding a result to float32 costs 6e-8; float32 sums of x**2 cost 1e-3 where the ratio is 100.
EXACT = 4e-7


def conv(channels, kernel=1, density=1.0, **options):
    rng = np.random.default_rng(3)
    return SparseConv2d(channels, channels, kernel, bias=False, density=density, rng=rng, **options)


NAMES = ("y", "dx", "dgamma", "dbeta", "mean", "variance")

#: What stands before a normalisation and sums its output in passing, or does not.
PRODUCERS = {
    "conv": lambda: [conv(4, 3, padding=1, density=0.6)],
    "full": lambda: [conv(4, 3, padding=1, density=1.0)],
    "pointwise": lambda: [conv(4, 1, density=0.7)],
    "depthwise": lambda: [conv(4, 3, groups=4, density=1.0)],
    "strided": lambda: [conv(4, 3, stride=2, padding=1, density=0.6)],
    "relu": lambda: [conv(4, 3, padding=1, density=0.6), ReLU()],
    "max": lambda: [MaxPool2d(2)],
    "average": lambda: [AvgPool2d(2)],
    "sum": lambda: [Residual([conv(4, 3, padding=1, density=0.6)])],
    "parallel": lambda: [Parallel([[conv(4)], [MaxPool2d(1)], []])],
    "first": list,
}  # fmt: skip


def pictures(ratio, shape=(BATCH, 4, 8, 8), seed=0):
    """Return pictures with means of ``ratio`` standard deviations, of both signs, and a dy."""
    rng = np.random.default_rng(seed)
    std = np.array([0.25, 1.0, 8.0, 2.0])[:, None, None]
    sign = np.array([1.0, -1.2, 0.7, -0.9])[:, None, None]
    return (std * (rng.standard_normal(shape) + ratio * sign)).astype(np.float32)


def reference(x, dy, gamma, beta):
    """Return y, dx, dgamma, dbeta, mean and unbiased variance in float64, channel by channel."""
    rows = [v.astype(np.float64).transpose(0, 2, 3, 1).reshape(-1, x.shape[1]) for v in (x, dy)]
    x2, dy2 = rows
    mean, deviation = x2.mean(axis=0), np.sqrt(x2.var(axis=0) + EPSILON)
    h = (x2 - mean) / deviation
    dx = gamma / deviation * (dy2 - dy2.mean(axis=0) - h * (dy2 * h).mean(axis=0))
    y = naive.batch_norm(x2, gamma, beta, EPSILON)
    back = [v.reshape(len(x), *x.shape[2:], -1).transpose(0, 3, 1, 2) for v in (y, dx)]
    return (*back, (dy2 * h).sum(axis=0), dy2.sum(axis=0), mean, x2.var(axis=0, ddof=1))


def errors(found, wanted, dy):
    """Return the largest error of a channel for each of what ``reference`` returns.

    Relative to the channel's root mean square; of sums over dy to that of as many random numbers,
    for they may cancel; of the mean to mean and deviation.
    """
    random = np.sqrt(np.square(dy, dtype=np.float64).sum(axis=(0, 2, 3)))
    y, dx, dgamma, dbeta, mean, variance = wanted
    scales = (
        *(np.sqrt(np.square(v).mean(axis=(0, 2, 3))) for v in (y, dx)),
        np.maximum(np.abs(dgamma), random), np.maximum(np.abs(dbeta), random),
        np.abs(mean) + np.sqrt(variance), variance,
    )  # fmt: skip
    found = dict(zip(NAMES, found, strict=True))
    out = {}
    for (name, one), want, scale in zip(found.items(), wanted, scales, strict=True):
        axes = (0, 2, 3) if want.ndim == 4 else ()
        difference = np.sqrt(np.mean(np.square(one - want), axis=axes))
        out[name] = (difference / np.maximum(scale, 1e-30)).max()
    return out


def normalised(layers, x, seed=1):
    """Return what a BatchNorm reads behind some layers, and all that it makes of that."""
    rng, norm = np.random.default_rng(seed), BatchNorm(4, momentum=1.0)
    norm.gamma.data[:], norm.beta.data[:] = rng.uniform(0.5, 2, 4), rng.standard_normal(4)
    chain = Sequential([*layers, norm], x.shape[1:])
    ctx = Context(Workspace(), train=True, n_valid=len(x))
    planes = naive.to_planes(x, 16)
    planes[-1, ..., (len(x) - 1) % 16 + 1 :] = 1e3  # what padding lanes hold must not count
    for layer in layers:
        planes, _ = layer.forward(planes, ctx)
    read = naive.from_planes(as_array(planes, "read", ctx), len(x)).copy()
    y, saved = norm.forward(planes, ctx)
    y = naive.from_planes(as_array(y, "y", ctx), len(x)).copy()
    dy = (rng.standard_normal(read.shape) + 0.5 * y).astype(np.float32)
    tiles = naive.to_planes(dy, 16)
    dx = naive.from_planes(as_array(norm.backward(tiles, saved, ctx), "dx", ctx), len(x))
    assert len(chain.layers) == len(layers) + 1
    found = y, dx, norm.gamma.grad, norm.beta.grad, norm.running_mean, norm.running_variance
    return found, reference(read, dy, norm.gamma.data, norm.beta.data), (read, dy, norm)


@pytest.mark.parametrize("producer", PRODUCERS)
@pytest.mark.parametrize("ratio", [0.0, 1e4])
def test_behind_every_producer(producer, ratio):
    found, wanted, (_, dy, _) = normalised(PRODUCERS[producer](), pictures(ratio))
    off = errors(found, wanted, dy)
    assert max(off.values()) < EXACT, off


@pytest.mark.parametrize("ratio", RATIOS)
def test_beside_pytorch(ratio):
    """No error is above 3 times PyTorch's, and those that grow with the mean there do not here."""
    torch = pytest.importorskip("torch")
    found, wanted, (read, dy, ours) = normalised([conv(4)], pictures(ratio, (48, 4, 9, 7)))
    norm = torch.nn.BatchNorm2d(4, momentum=1.0)
    with torch.no_grad():
        norm.weight[:] = torch.from_numpy(ours.gamma.data)
        norm.bias[:] = torch.from_numpy(ours.beta.data)
    x = torch.from_numpy(read.copy()).requires_grad_()
    y = norm(x)
    y.backward(torch.from_numpy(dy))
    theirs = [v.detach().numpy() for v in (y, x.grad, norm.weight.grad, norm.bias.grad,
                                           norm.running_mean, norm.running_var)]  # fmt: skip
    off = errors(theirs, wanted, dy)
    for name, one in errors(found, wanted, dy).items():
        assert one < 3 * max(off[name], 6e-8), name


@pytest.mark.parametrize("ratio", RATIOS)
def test_features(ratio):
    x = pictures(ratio, (300, 4, 1, 1))[..., 0, 0]
    rng, norm = np.random.default_rng(1), BatchNorm(4, momentum=1.0)
    norm.gamma.data[:], norm.beta.data[:] = rng.uniform(0.5, 2, 4), rng.standard_normal(4)
    dy = rng.standard_normal(x.shape).astype(np.float32) + 0.1
    ctx = Context(Workspace(), train=True, n_valid=len(x))
    y, saved = norm.forward(naive.to_tiles(x, 16), ctx)
    dx = norm.backward(naive.to_tiles(dy, 16), saved, ctx)
    images = [v[..., None, None] for v in (x, dy)]
    wanted = reference(*images, norm.gamma.data, norm.beta.data)
    found = (
        *(naive.from_tiles(v, len(x))[..., None, None] for v in (y, dx)),
        norm.gamma.grad, norm.beta.grad, norm.running_mean, norm.running_variance,
    )  # fmt: skip
    off = errors(found, wanted, images[1])
    assert max(off.values()) < EXACT, off


UNLIKE = {
    "first row": np.s_[:, :, 0],
    "first sample": np.s_[::16],
    "first pixel": np.s_[::16, :, 0, 0],
}


@pytest.mark.parametrize("layers", [list, PRODUCERS["pointwise"], PRODUCERS["average"]])
@pytest.mark.parametrize("case", UNLIKE)
def test_inputs_that_begin_unlike_the_rest(case, layers):
    """The numbers that distances are counted from are outliers."""
    x = pictures(100.0)
    x[UNLIKE[case]] *= -3
    found, wanted, (_, dy, _) = normalised(layers(), x)
    off = errors(found, wanted, dy)
    # Of a strip whose first number alone is far away, all other distances are as long.
    assert max(off.values()) < (8e-6 if case == "first pixel" else EXACT), off


def test_a_channel_that_does_not_vary():
    x = pictures(0.0)
    x[:, 1] = 7.3
    (y, *_, mean, variance), _, (*_, norm) = normalised([], x)
    np.testing.assert_allclose(y[:, 1], norm.beta.data[1], atol=1e-6)
    assert (mean[1], variance[1]) == (x[0, 1, 0, 0], 0)


def test_planes_of_float64_are_exact_in_float64():
    rng, norm = np.random.default_rng(0), BatchNorm(3, momentum=1.0, dtype=np.float64)
    norm.plan(Spec((3, 5, 6)))
    x = rng.standard_normal((20, 3, 5, 6)) + 1e5
    ctx = Context(Workspace(), train=True, n_valid=20)
    norm.forward(naive.to_planes(x, 16), ctx)
    np.testing.assert_allclose(norm.running_variance, x.var(axis=(0, 2, 3)) * 600 / 599, rtol=1e-11)
    np.testing.assert_allclose(norm.running_mean, x.mean(axis=(0, 2, 3)), rtol=1e-15)


def test_running_statistics_do_not_drift():
    """A hundred batches: each average is rounded once a step."""
    norm, mean, variance = BatchNorm(4), np.zeros(4), np.ones(4)
    norm.plan(Spec((4, 8, 8)))
    ctx = Context(Workspace(), train=True, n_valid=BATCH)
    for step in range(100):
        x = pictures(30.0, seed=step)
        norm.forward(naive.to_planes(x, 16), ctx)
        x = x.astype(np.float64)
        mean = 0.9 * mean + 0.1 * x.mean(axis=(0, 2, 3))
        variance = 0.9 * variance + 0.1 * x.var(axis=(0, 2, 3)) * x[:, 0].size / (x[:, 0].size - 1)
    np.testing.assert_allclose(norm.running_mean, mean, rtol=5e-7)
    np.testing.assert_allclose(norm.running_variance, variance, rtol=5e-7)


@pytest.mark.parametrize("images", [True, False])
def test_prediction_by_running_statistics(images):
    norm, x = BatchNorm(4), pictures(1e4)
    norm.running_mean[:], norm.running_variance[:] = x.mean(axis=(0, 2, 3)), x.var(axis=(0, 2, 3))
    norm.beta.data[:] = 0.3
    shape = (4, 8, 8) if images else (4,)
    norm.plan(Spec(shape))
    x = x if images else x[:, :, 0, 0]
    wide = (slice(None), None, None) if images else slice(None)
    deviation = np.sqrt(norm.running_variance.astype(np.float64) + EPSILON)
    wanted = (x.astype(np.float64) - norm.running_mean[wide]) / deviation[wide] + norm.beta.data[
        wide
    ]
    ctx = Context(Workspace(), n_valid=BATCH)
    y, _ = norm.forward(naive.to_planes(x, 16) if images else naive.to_tiles(x, 16), ctx)
    found = (
        naive.from_planes(as_array(y, "y", ctx), BATCH) if images else naive.from_tiles(y, BATCH)
    )
    np.testing.assert_allclose(found, wanted, atol=2e-6, rtol=3e-7)


@pytest.mark.parametrize("images", [True, False])
def test_ranks_merge_their_statistics_exactly(images):
    from sparsecpu.training.mpi import communicator

    shape = (4, 8, 8) if images else (4,)
    whole = pictures(1e4, (40, *shape) if images else (40, 4, 1, 1)).reshape(40, *shape)
    to, back = (
        (naive.to_planes, naive.from_planes) if images else (naive.to_tiles, naive.from_tiles)
    )
    dy = np.random.default_rng(2).standard_normal(whole.shape).astype(np.float32)

    def part(comm):
        comm = communicator(comm)
        here = slice(0, 27) if comm.rank == 0 else slice(27, 40)
        norm = BatchNorm(4, momentum=1.0)
        norm.plan(Spec(shape))
        count = here.stop - here.start
        ctx = Context(Workspace(), train=True, n_valid=count, comm=comm)
        y, saved = norm.forward(to(whole[here], 16), ctx)
        y = back(as_array(y, "y", ctx), count).copy()
        dx = as_array(norm.backward(to(dy[here], 16), saved, ctx), "dx", ctx)
        gradients = norm.gamma.grad.copy(), norm.beta.grad.copy()
        return y, back(dx, count).copy(), *gradients, norm.running_mean, norm.running_variance

    one, two = together(2, part)
    wide = (lambda v: v) if images else (lambda v: v[..., None, None])
    wanted = reference(wide(whole), wide(dy), np.ones(4), np.zeros(4))
    found = [
        *(wide(np.concatenate([a, b])) for a, b in zip(one[:2], two[:2], strict=True)),
        one[2] + two[2], one[3] + two[3], one[4], one[5],
    ]  # fmt: skip
    off = errors(found, wanted, wide(dy))
    assert max(off.values()) < EXACT, off
    for a, b in zip(one[4:], two[4:], strict=True):
        np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize("ratio", [0.0, 1e5])
def test_any_number_of_threads_gives_the_same_bits(ratio):
    x = pictures(ratio)

    def run(threads):
        with use_threads(threads):
            return normalised(PRODUCERS["conv"](), x)[0]

    for one, two in zip(run(1), run(2), strict=True):
        np.testing.assert_array_equal(one, two)


@pytest.mark.parametrize("bad", [np.nan, np.inf])
@pytest.mark.filterwarnings("ignore:invalid value")
def test_what_is_not_a_number_stays_so(bad):
    """A channel with one such number is NaN for the guard to see; the others are as before."""
    x = pictures(0.0)
    clean, *_ = normalised([], x)
    x[3, 2, 4, 4] = bad
    found, *_ = normalised([], x)
    for one, before in zip(found[:3], clean[:3], strict=True):
        channels = one.swapaxes(0, 1) if one.ndim > 1 else one
        assert np.isnan(channels[2]).any()
        np.testing.assert_array_equal(
            np.delete(channels, 2, axis=0),
            np.delete(before.swapaxes(0, 1) if before.ndim > 1 else before, 2, axis=0),
        )


def test_a_network_whose_images_are_far_from_black():
    """The loss at a mean of 1e4 standard deviations is the one near 0, fused or broken up."""
    losses = []
    for gaps, ratio in ((0, 0.0), (0, 1e4), (1, 1e4)):
        first, second = ([Dropout(0.0) for _ in range(gaps)] for _ in range(2))
        filters = made((4, 6), 3, (8, 8), padding=1, dtype=np.float32)
        layers = [BatchNorm(4), ReLU(), *first, filters, *second, BatchNorm(6)]
        network = Sequential(layers, (4, 8, 8))
        x = pictures(0.0).astype(np.float64)
        far = x + ratio * np.array([0.25, -1.0, 8.0, 2.0])[:, None, None]
        y = np.zeros((BATCH, network.n_outputs))
        losses.append(network.loss_and_gradients(far.reshape(BATCH, -1), y, SquaredError())[0])
    assert losses[1] == pytest.approx(losses[0], rel=1e-2)  # x itself is rounded to float32
    assert losses[2] == pytest.approx(losses[1], rel=1e-6)
