"""Vision transformers: how many weights, and what PyTorch computes with the same ones."""

import math

import naive
import numpy as np
import pytest

from sparsecpu import load, save
from sparsecpu.callbacks import Callback
from sparsecpu.errors import ParameterError
from sparsecpu.files.model import load_all
from sparsecpu.interop import to_torch
from sparsecpu.losses import SoftmaxCrossEntropy
from sparsecpu.models import MODELS, vit
from sparsecpu.networks.description import Architecture, LayerSpec
from sparsecpu.networks.memory_estimate import estimate, lanes_of, weight_counts
from sparsecpu.optimizers import Adam
from sparsecpu.step.context import Context
from sparsecpu.topology import make_topology
from sparsecpu.trainer import Trainer

SHAPE = (2, 8, 12)
SIZES = {"features": 12, "depth": 2, "heads": 2, "head_size": 5, "hidden": 10}
STEP = {"learning_rate": 0.01, "batch_size": 6, "threads": 1}


def small(density=0.5, dtype=np.float64, group=1, **options):
    described = vit(SHAPE, 3, **SIZES, **options).sparsify(density).in_groups(group)
    return described.build(np.random.default_rng(1), dtype=dtype)


def batch(count=6, dtype=np.float64):
    rng = np.random.default_rng(0)
    return rng.standard_normal((count, math.prod(SHAPE))).astype(dtype), rng.integers(0, 3, count)


def test_weights_are_counted():
    # GSE's, for 100 classes of 3 x 32 x 32: patches 4 * 4 * 3 * 512 = 24,576; of each of 4 blocks,
    # 3 * 512 * 384 into heads, 384 * 512 out of them, 2 * 512 * 256 feed-forward, together
    # 1,048,576; the head 512 * 100 = 51,200.
    shapes = MODELS["vit"]((3, 32, 32), 100).weight_shapes()
    assert sum(map(math.prod, shapes)) == 24_576 + 4 * 1_048_576 + 51_200 == 4_270_080
    # For 10 classes of 28 x 28: 16 * 64 + 4 * (4 * 64 * 64 + 2 * 64 * 128) + 64 * 10.
    tiny = MODELS["vit-tiny"]((784,), 10)
    assert sum(map(math.prod, tiny.weight_shapes())) == 1024 + 4 * 32_768 + 640 == 132_736
    # Beside them, biases: 64 for patches, 4 * (5 * 64 + 128) in blocks, 10; normalisations, two
    # vectors each, 9 * 2 * 64; the class token, 64; places, 50 * 64.
    network = tiny.build()
    others = 64 + 4 * 448 + 10 + 9 * 128 + 64 + 50 * 64
    assert sum(p.nnz for p in network.parameters().values()) == 132_736 + others
    assert network.output_shape == (10,)
    assert network.longest == 50


def test_each_layer_keeps_its_share():
    described = MODELS["vit-tiny"]((784,), 10).sparsify(0.1)
    counts, shapes = weight_counts(described), described.weight_shapes()
    assert sum(counts) == round(0.1 * 132_736) == described.build().nnz
    raw = [sum(shape) / math.prod(shape) for shape in shapes]
    densities = [count / math.prod(shape) for count, shape in zip(counts, shapes, strict=True)]
    for density, part in zip(densities, raw, strict=True):  # ERK; none of them is full
        assert density / part == pytest.approx(densities[1] / raw[1], rel=0.01)


def test_memory_is_estimated_by_tokens():
    described = MODELS["vit-tiny"]((784,), 10).sparsify(0.1)
    network, rng, count = described.build(), np.random.default_rng(0), 20
    trainer = Trainer(network, loss=SoftmaxCrossEntropy(), **{**STEP, "batch_size": count})
    samples = network.samples(rng.standard_normal((count, 784), dtype=np.float32))
    ctx = Context(train=True, n_valid=count)
    with trainer.machine():
        x = network.gather(samples, np.arange(count), network.lanes(count), ctx)
        y, kept = network.forward(x, ctx)
        network.backward(y, kept, ctx)
    assert lanes_of(described, count) == 64 * count  # 50 tokens leave 14 lanes of a tile
    assert estimate(described, count).activations == pytest.approx(ctx.workspace.nbytes, rel=0.1)


class Twin:
    """The network in plain PyTorch, with full matrices that are 0 where ours have nothing."""

    def __init__(self, network):
        self.torch = torch = pytest.importorskip("torch")
        self.masks, self.leaves = {}, {}
        for name, p in network.parameters().items():
            values = p.data
            if hasattr(p, "pattern"):
                index = p.pattern.shape, p.pattern.indptr, p.pattern.indices
                values = naive.dense(*index, p.data)
                self.masks[name] = torch.from_numpy(naive.dense(*index, np.ones(p.nnz)))
            elif hasattr(p, "shape"):
                values = p.values
            self.leaves[name] = torch.from_numpy(np.array(values)).requires_grad_()

    def linear(self, name, x):
        return x @ self.leaves[f"{name}.weight"].T + self.leaves[f"{name}.bias"]

    def norm(self, name, x):
        gamma, beta = self.leaves[f"{name}.gamma"], self.leaves[f"{name}.beta"]
        return self.torch.nn.functional.layer_norm(x, x.shape[-1:], gamma, beta, 1e-5)

    def attention(self, name, x):
        samples, tokens, _ = x.shape
        q, k, v = (
            self.linear(f"{name}.{part}.0", x).reshape(samples, tokens, 2, 5).transpose(1, 2)
            for part in ("query", "key", "value")
        )
        p = (q @ k.transpose(2, 3) / math.sqrt(5)).softmax(3)
        return self.linear(f"{name}.output.0", (p @ v).transpose(1, 2).reshape(samples, tokens, 10))

    def forward(self, x):
        functional, leaves = self.torch.nn.functional, self.leaves
        images = self.torch.from_numpy(x).reshape(-1, *SHAPE)
        cut = functional.unfold(images, 4, stride=4).transpose(1, 2)
        x = self.linear("0.projection.0", cut)
        x = self.torch.cat([leaves["0.class_token"].expand(len(x), 1, -1), x], 1)
        x = x + leaves["0.positions"]
        for block in range(2):
            n, m = f"{1 + 2 * block}.branch", f"{2 + 2 * block}.branch"
            x = x + self.attention(f"{n}.1", self.norm(f"{n}.0", x))
            inner = functional.gelu(self.linear(f"{m}.1.up.0", self.norm(f"{m}.0", x)))
            x = x + self.linear(f"{m}.1.down.0", inner)
        return self.linear("7", self.norm("6", x[:, 0]))

    def loss(self, x, y):
        loss = self.torch.nn.functional.cross_entropy(self.forward(x), self.torch.from_numpy(y))
        for leaf in self.leaves.values():
            leaf.grad = None
        loss.backward()
        for name, mask in self.masks.items():
            self.leaves[name].grad *= mask
        return loss.item()

    def of(self, name, p, values):
        """Return what there is of a parameter, as ours has it."""
        found = values.detach().numpy()
        if name in self.masks:
            return naive.at_nonzeros(found, p.pattern.indptr, p.pattern.indices)
        return found.reshape(-1)


def test_a_twin_in_pytorch_computes_the_same():
    network, (x, y) = small(), batch()
    twin = Twin(network)
    loss, gradients = network.loss_and_gradients(x, y, SoftmaxCrossEntropy())
    assert np.allclose(network.predict(x), twin.forward(x).detach().numpy(), atol=1e-12)
    assert loss == pytest.approx(twin.loss(x, y), abs=1e-12)
    for name, p in network.parameters().items():
        wanted = twin.of(name, p, twin.leaves[name].grad)
        np.testing.assert_allclose(gradients[name], wanted, atol=1e-12, err_msg=name)


def test_a_twin_in_pytorch_is_the_same_after_twenty_steps_of_adamw():
    network, (x, y) = small(), batch()
    twin, decayed = Twin(network), {n for n, p in network.parameters().items() if p.decays}
    assert decayed == {n for n in twin.leaves if n.endswith(("weight", "positions"))}
    groups = [
        {"params": [leaf for n, leaf in twin.leaves.items() if (n in decayed) == yes],
         "weight_decay": 0.1 * yes}
        for yes in (True, False)
    ]  # fmt: skip
    theirs = twin.torch.optim.AdamW(groups, lr=0.01)
    trainer = Trainer(network, loss=SoftmaxCrossEntropy(), optimizer=Adam(weight_decay=0.1),
                      **STEP)  # fmt: skip
    samples, targets = network.samples(x), trainer.loss.prepare(y, 3)
    for _ in range(20):
        trainer.step(samples, targets, np.arange(6))
        twin.loss(x, y)
        theirs.step()
    for name, p in network.parameters().items():
        wanted = twin.of(name, p, twin.leaves[name])
        np.testing.assert_allclose(p.data, wanted, atol=1e-8, err_msg=name)


@pytest.mark.parametrize("pooling", ["class_token", "mean_tokens"])
def test_it_goes_to_pytorch(pooling):
    torch = pytest.importorskip("torch")
    network, (x, _) = small(pooling=pooling), batch()
    network.offset = np.linspace(-0.5, 0.5, x.shape[1])
    with torch.no_grad():
        theirs = to_torch(network)(torch.from_numpy(x).reshape(-1, *SHAPE)).numpy()
    np.testing.assert_allclose(theirs, network.predict(x), atol=1e-12)


@pytest.mark.parametrize("gated", [False, True])
def test_networks_of_text_go_to_pytorch(gated):
    torch = pytest.importorskip("torch")
    wide = {"features": 8, "hidden": 12, "gated": gated}
    layers = [
        LayerSpec("embedding", {"vocabulary": 9, "features": 8, "nnz": None}),
        LayerSpec("attention", {"features": 8, "heads": 2, "causal": True}),
        LayerSpec("residual", {"branch": [{"kind": "rms_norm"}, {"kind": "feed_forward", **wide}]}),
    ]
    network = Architecture((5,), tuple(layers)).sparsify(0.6).build(dtype=np.float64)
    x = np.random.default_rng(0).integers(0, 9, (4, 5))
    with torch.no_grad():
        theirs = to_torch(network)(torch.from_numpy(x)).numpy()
    np.testing.assert_allclose(theirs, network.predict(x), atol=1e-12)


def trained(rule="set:update_every=3", network=None, epochs=2, **options):
    x, y = batch(30, np.float32)
    network = small(dtype=np.float32) if network is None else network
    trainer = Trainer(
        network,
        loss=SoftmaxCrossEntropy(),
        optimizer=Adam(),
        topology=make_topology(rule),
        epochs=epochs,
        **{**STEP, **options},
    )
    trainer.fit(x, y)
    return network


def values(network):
    return [p.data.tobytes() for p in network.parameters().values()]


def test_files_hold_it(tmp_path):
    network, (x, _) = trained(), batch(dtype=np.float32)
    save(network, tmp_path / "it.npz")
    again, _ = load(tmp_path / "it.npz")
    assert values(again) == values(network)
    assert np.array_equal(again.predict(x), network.predict(x))
    assert again.architecture == network.architecture


class Stop(Callback):
    """Breaks a run off in its second epoch."""

    def on_step(self, trainer, loss):
        trainer.interrupted = trainer.steps_done == 7


def test_a_run_goes_on_bit_for_bit(tmp_path):
    def trainer(network, callbacks=()):
        rule = make_topology("sparse-momentum:source=window,window=2,update_every=4")
        return Trainer(network, loss=SoftmaxCrossEntropy(), optimizer=Adam(), topology=rule,
                       epochs=3, callbacks=callbacks, **STEP)  # fmt: skip

    x, y = batch(30, np.float32)
    whole, first = (small(dtype=np.float32, dropout=0.1) for _ in range(2))
    trainer(whole).fit(x, y)
    broken = trainer(first, [Stop()])
    broken.fit(x, y)
    facts, extra = broken.state()
    save(first, tmp_path / "c.npz", facts={"trainer": facts}, extra=extra)
    again, header, arrays = load_all(tmp_path / "c.npz")
    resumed = trainer(again)
    resumed.load_state(header["facts"]["trainer"], arrays, 30)
    assert values(again) != values(whole)
    resumed.fit(x, y)
    assert values(again) == values(whole)


def test_threads_change_no_bit():
    assert values(trained(threads=1)) == values(trained(threads=2))


@pytest.mark.parametrize("rule", ["rigl", "gse", "sparse-momentum:source=window,window=2"])
@pytest.mark.parametrize("group", [1, 4])
def test_every_projection_takes_part_in_topology(rule, group):
    network = small(0.4, np.float32, group, pooling="mean_tokens")
    before = {n: p.pattern.indices.copy() for n, p in network.sparse_parameters().items()}
    nnz = network.nnz
    joined = ":" if ":" not in rule else ","
    trained(f"{rule}{joined}update_every=3,prune_rate=0.4", network)
    after = {n: p.pattern.indices for n, p in network.sparse_parameters().items()}
    assert network.nnz == nnz
    assert len(before) == 14
    assert not any(np.array_equal(before[n], after[n]) for n in before)


def test_what_does_not_fit_is_refused():
    for wrong in ({"patch": 5}, {"pooling": "max"}, {"heads": 5, "head_size": None}, {"depth": 0}):
        with pytest.raises(ParameterError):
            vit(SHAPE, 3, **{**SIZES, **wrong})
    with pytest.raises(ParameterError):
        vit((30,), 3)
