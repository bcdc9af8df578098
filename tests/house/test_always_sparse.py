"""No dense weight, gradient, momentum or mask ever exists: allocations are traced, not promised.

Networks with large, very sparse matrices are made, trained, rewired, used, written and read while
every step of the program is watched: none may allocate one byte per position of such a matrix,
which is what a mask of booleans takes.
"""

import os
import subprocess
import sys
import textwrap
import tracemalloc

import numpy as np
import pytest
from tracing import (
    BATCH,
    DENSITY,
    LARGE,
    MADE,
    RULES,
    WIDTH,
    conv_network,
    linear_network,
    nothing_dense,
    samples,
    train,
    watched,
)

from sparsecpu import load, save
from sparsecpu.files import model
from sparsecpu.interop import export_network, import_network
from sparsecpu.layers import (
    FeedForward,
    MeanTokens,
    PatchEmbedding,
    ReLU,
    Residual,
    Sequential,
    SparseLinear,
)
from sparsecpu.losses import SoftmaxCrossEntropy, TokenCrossEntropy
from sparsecpu.models import gpt
from sparsecpu.networks.description import mlp
from sparsecpu.optimizers import SGD, Adam
from sparsecpu.sparse.first_patterns import PATTERNS
from sparsecpu.sparse.parameter import SparseParameter
from sparsecpu.topology import TOPOLOGIES, make_topology
from sparsecpu.trainer import Trainer


@pytest.mark.parametrize("made", MADE)
@pytest.mark.parametrize("rule", RULES)
def test_training(rule, made):
    updates = watched(lambda *given: train(given[0], rule, SGD(0.9), *given[1:]), made)
    assert updates or rule == "static"


@pytest.mark.parametrize("rule", [RULES[0], RULES[1], RULES[2], "rigl:update_every=6"])
def test_training_with_groups(rule, monkeypatch):
    """Rules look at shared columns: all that they keep of weights is as sparse as before."""
    monkeypatch.setitem(MADE, "linear", lambda: linear_network(WIDTH, 2 * DENSITY, group=4))
    assert watched(lambda *given: train(given[0], rule, SGD(0.9), *given[1:]), "linear")


@pytest.mark.parametrize(
    "rule", ["rigl", "set", "gse", "sparse-momentum:source=lowrank,rank=4,window=1"]
)
def test_training_of_a_language_model(rule):
    """Its widest matrices are 512 x 2048; the widest activations half as large."""
    rule += f"{',' if ':' in rule else ':'}update_every=3"

    def action(width=512):
        described = gpt((16,), 32, layers=1, heads=4, width=width).sparsify(0.01)
        network = described.build(np.random.default_rng(0))
        x = np.random.default_rng(1).integers(0, 32, (8, 16))
        trainer = Trainer(network, loss=TokenCrossEntropy(), optimizer=Adam(), batch_size=4,
                          topology=make_topology(rule), epochs=4)  # fmt: skip
        trainer.fit(x, x)
        list(network.generate([1, 2], 20, streams=2))

    action(64)  # imports and compiles
    with nothing_dense((512, 2048)):
        action()


def patch_network(width=WIDTH):
    """Images of 4 patches, each a token of few features with a wide layer inside."""
    rng = np.random.default_rng(1)
    kept = {"density": max(DENSITY, 4 / width), "rng": rng}
    down = [SparseLinear(width, width, **kept), ReLU(), SparseLinear(width, 8, **kept)]
    return Sequential(
        [PatchEmbedding(1, 8, 2, image_size=4, rng=rng, class_token=False),
         Residual([FeedForward(8, width, **kept, down=down)]), MeanTokens(),
         SparseLinear(8, 10, density=0.5, rng=rng)],
        (1, 4, 4),
    )  # fmt: skip


@pytest.mark.parametrize("rule", [RULES[2], "rigl:update_every=6"])
def test_training_of_tokens(rule, monkeypatch):
    monkeypatch.setitem(MADE, "linear", patch_network)
    assert watched(lambda *given: train(given[0], rule, Adam(), *given[1:]), "linear")


def test_every_rule_is_here():
    ours = {n for n, rule in TOPOLOGIES.items() if rule.__module__.startswith("sparsecpu.")}
    assert {rule.split(":")[0] for rule in RULES} == ours


@pytest.mark.parametrize("rule", ["set:update_every=4", "sparse-momentum:update_every=4"])
@pytest.mark.parametrize("lean", [False, True])
def test_training_with_adam_and_lean(rule, lean):
    watched(lambda network, x, y: train(network, rule, Adam(), x, y, lean=lean), "linear")


@pytest.mark.parametrize("lean", [False, True])
def test_rows_in_groups(lean):
    def action():
        network = linear_network(group=4)
        x, y = samples(network)
        train(network, "static", SGD(0.9), x, y, lean=lean)
        network.predict(x[:BATCH])
        network.compile(1)(x[:1])

    action()
    with nothing_dense(LARGE["linear"]):
        action()


@pytest.mark.parametrize("group", [1, 4])
@pytest.mark.parametrize("pattern", PATTERNS)
def test_first_patterns_and_values(pattern, group):
    linear_network(40, pattern=pattern, group=group)
    with nothing_dense(LARGE["linear"]):
        linear_network(pattern=pattern, group=group)


def test_first_filters():
    with nothing_dense(LARGE["conv"]):
        conv_network()


@pytest.mark.parametrize("made", MADE)
def test_predictions(made):
    def action(network, x, y):
        network.predict(x[:BATCH])
        network.compile(1)(x[:1])
        network.loss_and_gradients(x[:BATCH], y[:BATCH], SoftmaxCrossEntropy())

    watched(action, made)


def described(width):
    return mlp(width, (width,), 10).sparsify(DENSITY).build(np.random.default_rng(0))


def files(network, folder):
    save(network, folder / "model.npz")
    load(folder / "model.npz")


def exchange(network, folder):
    """Write full matrices, read them back, and prune while reading."""
    export_network(network, folder / "it.safetensors", "safetensors")
    import_network(folder / "it.safetensors")
    import_network(folder / "it.safetensors", density=0.002)
    import_network(folder / "it.safetensors", density=0.002, group=4)


@pytest.mark.parametrize("action", [files, exchange])
def test_files(action, tmp_path):
    action(described(40), tmp_path)
    network = described(WIDTH)
    action(network, tmp_path)
    with nothing_dense(LARGE["linear"]):
        action(network, tmp_path)


#: Where somebody may add a dense array: an object, its method, and what then calls it.
MUTANTS = {
    "first values": (SparseParameter, "__init__", "build"),
    "forward": (SparseLinear, "forward", "predict"),
    "backward": (SparseLinear, "backward", "train"),
    "optimizer": (SGD, "step", "train"),
    "rewiring": (SparseParameter, "rewire_keys", "train"),
    "files": (model, "write_arrays", "save"),
}


@pytest.mark.parametrize("where", MUTANTS)
def test_a_mask_of_booleans_would_be_noticed(where, monkeypatch, tmp_path):
    owner, name, action = MUTANTS[where]
    original = getattr(owner, name)

    def wasteful(*args, **options):
        mask = np.zeros((WIDTH, WIDTH), bool)
        mask[0, 0] = True
        return original(*args, **options)

    def act(network):
        if action == "build":
            linear_network()
        elif action == "save":
            save(network, tmp_path / "model.npz")
        elif action == "predict":
            network.predict(samples(network)[0])
        else:
            train(network, "set:update_every=4", SGD(0.9), *samples(network))

    network = described(WIDTH)
    act(network)
    with nothing_dense(LARGE["linear"]):
        act(network)
    monkeypatch.setattr(owner, name, wasteful)
    with pytest.raises(AssertionError), nothing_dense(LARGE["linear"]):
        act(network)


def test_a_steady_step_allocates_no_arrays():
    rng = np.random.default_rng(1)
    network = Sequential(
        [SparseLinear(WIDTH, 200, density=DENSITY, rng=rng), ReLU(),
         SparseLinear(200, 10, density=1.0, rng=rng)],
    )  # fmt: skip
    x, y = samples(network)
    trainer = Trainer(network, loss=SoftmaxCrossEntropy(), optimizer=SGD(0.9), batch_size=BATCH)
    source, targets = network.samples(x), trainer.loss.prepare(y, 10)
    rows = np.arange(BATCH)
    for _ in range(3):
        trainer.step(source, targets, rows)
    tracemalloc.start()
    for _ in range(5):
        trainer.step(source, targets, rows)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    # The smallest array of the step, 16 samples of 10 outputs, has 640 bytes; views and Python
    # objects of a step come and go, and must not add up to the buffers (over 30 kB).
    assert peak < 12_000


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="asks Linux for the peak")
def test_wide_layers_within_their_memory():
    """10,000 x 10,000 at density 0.001: also what kernels allocate, which is not traced.

    The process never grows by 70 MB, most of them memory of BLAS, whatever the rule; a mask of
    booleans would take 100 MB.
    """
    script = textwrap.dedent("""
        import numpy as np
        from tracing import RULES, linear_network, train
        from sparsecpu.optimizers import SGD

        def peak():
            lines = dict(line.split(":", 1) for line in open("/proc/self/status"))
            return int(lines["VmHWM"].split()[0]) * 1024

        x = np.random.default_rng(1).standard_normal((96, 10_000), dtype=np.float32)
        y = np.arange(96) % 10
        for rule in RULES:
            train(linear_network(10_000, 0.001), rule, SGD(0.9), x, y)  # compiles
            with open("/proc/self/clear_refs", "w") as file:
                file.write("5")  # the peak is counted anew
            before = peak()
            network = linear_network(10_000, 0.001)
            updates = train(network, rule, SGD(0.9), x, y)
            del network
            print(peak() - before, updates, rule)
    """)
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, timeout=300,
        check=False, env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    lines = [line.split() for line in done.stdout.splitlines()]
    assert len(lines) == len(RULES)
    for grown, updates, rule in lines:
        assert int(grown) < 70e6, rule
        assert int(updates) or rule == "static"
