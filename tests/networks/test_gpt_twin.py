"""A small sparse GPT beside a plain one in PyTorch, whose weights are masked."""

import numpy as np
import pytest

from sparsecpu import Trainer
from sparsecpu.losses import TokenCrossEntropy
from sparsecpu.models import gpt
from sparsecpu.optimizers import Adam

torch = pytest.importorskip("torch")
F = torch.nn.functional

WORDS, BLOCK, WIDTH, HEADS, LAYERS, BATCH = 13, 10, 12, 3, 2, 4


def model():
    described = gpt((BLOCK,), WORDS, layers=LAYERS, heads=HEADS, width=WIDTH)
    return described.sparsify(0.3).build(np.random.default_rng(0), dtype=np.float64)


def tensors_of(network):
    """Return the parameters as tensors in full shape, and the masks of those that have one."""
    tensors, masks = {}, {}
    for name, p in network.parameters().items():
        if hasattr(p, "pattern"):
            array = p.to_scipy().toarray()
            masks[name] = torch.zeros(array.shape, dtype=torch.float64)
            masks[name][p.to_scipy().nonzero()] = 1.0
        else:
            array = p.data.reshape(getattr(p, "shape", p.data.shape)).copy()
        tensors[name] = torch.tensor(array).requires_grad_()
    return tensors, masks


def outputs(tensors, masks, x):
    def linear(name, h):
        weight = tensors[f"{name}.weight"] * masks[f"{name}.weight"]
        return F.linear(h, weight, tensors.get(f"{name}.bias"))

    def norm(name, h):
        return F.layer_norm(h, (WIDTH,), tensors[f"{name}.gamma"], tensors[f"{name}.beta"])

    def heads(h):
        return h.reshape(len(x), BLOCK, HEADS, WIDTH // HEADS).transpose(1, 2)

    h = tensors["0.table"][x] + tensors["0.positions"]
    for layer in range(LAYERS):
        first, second = f"{2 * layer + 1}.branch", f"{2 * layer + 2}.branch"
        n = norm(f"{first}.0", h)
        q, k, v = (heads(linear(f"{first}.1.{p}.0", n)) for p in ("query", "key", "value"))
        scores = (q @ k.transpose(2, 3) / (WIDTH // HEADS) ** 0.5).masked_fill(
            torch.ones(BLOCK, BLOCK).triu(1).bool(), -torch.inf
        )
        a = (scores.softmax(dim=3) @ v).transpose(1, 2).reshape(len(x), BLOCK, WIDTH)
        h = h + linear(f"{first}.1.output.0", a)
        wide = F.gelu(linear(f"{second}.1", norm(f"{second}.0", h)), approximate="tanh")
        h = h + linear(f"{second}.3", wide)
    last = 2 * LAYERS + 1
    return linear(f"{last + 1}", norm(f"{last}", h))


def batches(count):
    rng = np.random.default_rng(1)
    return rng.integers(0, WORDS, (2, count * BATCH, BLOCK))


def test_outputs_loss_and_gradients_are_the_twins():
    network, (x, y) = model(), batches(1)
    tensors, masks = tensors_of(network)
    z = outputs(tensors, masks, torch.tensor(x))
    wanted = F.cross_entropy(z.reshape(-1, WORDS), torch.tensor(y).reshape(-1))
    wanted.backward()
    np.testing.assert_allclose(network.predict(x), z.detach().numpy(), atol=1e-12)
    loss, gradients = network.loss_and_gradients(x, y, TokenCrossEntropy())
    assert loss == pytest.approx(wanted.item(), rel=1e-12)
    for name, p in network.parameters().items():
        found = tensors[name].grad.numpy()
        if hasattr(p, "pattern"):
            found = found[p.to_scipy().nonzero()]
        np.testing.assert_allclose(gradients[name], found.reshape(-1), atol=1e-13)


def test_twenty_steps_of_adamw_are_the_twins():
    steps, network = 20, model()
    tensors, masks = tensors_of(network)
    x, y = batches(steps)
    trainer = Trainer(network, loss=TokenCrossEntropy(), learning_rate=3e-3, batch_size=BATCH,
                      optimizer=Adam(weight_decay=0.1, decoupled=True))  # fmt: skip
    samples, targets = network.samples(x), trainer.loss.prepare(y, WORDS)
    decayed = [tensors[name] for name, p in network.parameters().items() if p.decays]
    others = [tensors[name] for name, p in network.parameters().items() if not p.decays]
    groups = [{"params": decayed, "weight_decay": 0.1}, {"params": others, "weight_decay": 0.0}]
    twin = torch.optim.AdamW(groups, lr=3e-3, eps=trainer.optimizer.epsilon)
    for step in range(steps):
        rows = np.arange(step * BATCH, (step + 1) * BATCH)
        trainer.step(samples, targets, rows)
        twin.zero_grad()
        z = outputs(tensors, masks, torch.tensor(x[rows]))
        F.cross_entropy(z.reshape(-1, WORDS), torch.tensor(y[rows]).reshape(-1)).backward()
        twin.step()
    with torch.no_grad():
        z = outputs(tensors, masks, torch.tensor(x[:BATCH])).numpy()
    np.testing.assert_allclose(network.predict(x[:BATCH]), z, atol=1e-9)
    for name, p in network.parameters().items():
        found = tensors[name].detach().numpy()
        if hasattr(p, "pattern"):
            found = found[p.to_scipy().nonzero()]
        np.testing.assert_allclose(p.data.reshape(-1), found.reshape(-1), atol=1e-9)
