"""A pruned PyTorch network is imported, predicts the same, and is trained on at its nonzeros."""

import numpy as np
import torch
from torch import nn
from torch.nn.utils import prune

from sparsecpu.datasets import open_data
from sparsecpu.interop import import_network, to_torch
from sparsecpu.losses import SoftmaxCrossEntropy
from sparsecpu.networks.description import mlp
from sparsecpu.schedules import cosine
from sparsecpu.trainer import Trainer

torch.manual_seed(0)
torch.set_num_threads(1)
digits = open_data("digits")
x, x_test = ((part.astype(np.float32) - 8) / 8 for part in (digits.x_train, digits.x_test))
y, y_test = digits.y_train.astype(np.int64), digits.y_test
lines = []


def note(what: str, outputs: np.ndarray, weights: int) -> None:
    """Keep a line of the table."""
    lines.append(
        f"{what:<42}{100 * (outputs.argmax(axis=1) == y_test).mean():>12.2f}{weights:>10,}"
    )


# A dense network in PyTorch ...
theirs = nn.Sequential(nn.Linear(64, 300), nn.ReLU(), nn.Linear(300, 100), nn.ReLU(),
                       nn.Linear(100, 10))  # fmt: skip
optimizer = torch.optim.SGD(theirs.parameters(), 0.05, momentum=0.9)
for _ in range(15):
    for rows in torch.randperm(len(y)).split(32):
        optimizer.zero_grad()
        nn.functional.cross_entropy(theirs(torch.from_numpy(x)[rows]),
                                    torch.from_numpy(y)[rows]).backward()  # fmt: skip
        optimizer.step()


def ask(module: nn.Module) -> np.ndarray:
    """Return a module's outputs for the test samples."""
    with torch.no_grad():
        return module.eval()(torch.from_numpy(x_test)).numpy()


note("PyTorch, dense", ask(theirs), sum(p.numel() for p in theirs.parameters() if p.ndim > 1))

# ... is pruned there, ...
linear = [(layer, "weight") for layer in theirs if isinstance(layer, nn.Linear)]
prune.global_unstructured(linear, prune.L1Unstructured, amount=0.97)
kept = int(sum(layer.weight_mask.sum() for layer, _ in linear))
note("PyTorch, pruned to 3 %, masks", ask(theirs), kept)

# ... comes here with its masks as the pattern, ...
network, report = import_network(theirs.state_dict(), mlp(64, (300, 100), 10))
note("imported", network.predict(x_test), network.nnz)
apart = np.abs(network.predict(x_test) - ask(theirs)).max()

# ... is trained on with that pattern, ...
steps = -(-len(y) // 32) * 10
Trainer(network, loss=SoftmaxCrossEntropy(0.1), learning_rate=cosine(0.05, steps), batch_size=32,
        epochs=10, threads=1).fit(x, y)  # fmt: skip
note("trained on for 10 epochs, pattern fixed", network.predict(x_test), network.nnz)

# ... and goes back.
back = to_torch(network)
note(
    "back in PyTorch", ask(back), sum(int((p != 0).sum()) for p in back.parameters() if p.ndim > 1)
)

print(report)
print(f"\nimported and PyTorch's outputs differ by at most {apart:.1e}\n")
print(f"{'':<42}{'accuracy %':>12}{'weights':>10}")
print("\n".join(lines))
