"""Records what PyTorch's losses are in the ten steps of ``tests/replay.py``.

Run from the root of the checkout, with the ``torch`` extra::

    python tests/data/record_torch_losses.py
"""

import json
import platform
import sys
from pathlib import Path

import numpy as np
import torch
from torch import nn

sys.path.insert(0, str(Path(__file__).parents[1]))
import replay

MODULES = {
    "batch_norm": nn.BatchNorm1d,
    "relu": lambda _: nn.ReLU(),
    "max_pool": nn.MaxPool2d,
    "flatten": lambda _: nn.Flatten(),
}


def network_of(shape, layers):
    """Return a network, and a mask of 0 and 1 for each of its weights."""
    modules, masks = [], []
    for kind, given in layers:
        if kind == "linear":
            module = nn.Linear(given.shape[1], given.shape[0])
        elif kind == "conv":
            module = nn.Conv2d(given.shape[1], given.shape[0], given.shape[2], padding=1)
        elif kind == "batch_norm" and len(shape) == 3:
            module = nn.BatchNorm2d(given)
        else:
            module = MODULES[kind](given)
        if kind in ("linear", "conv"):
            module.weight.data, module.bias.data[:] = torch.from_numpy(given), 0
            masks.append((module.weight, torch.from_numpy(given != 0)))
        modules.append(module)
    return nn.Sequential(*modules), masks


def losses(network, optimizer):
    shape, layers, x, y = replay.steps_of(network)
    torch.manual_seed(0)
    model, masks = network_of(shape, layers)
    options = dict(replay.OPTIMIZERS[optimizer])
    rate, decay = options.pop("learning_rate"), options.pop("weight_decay")
    weights = [weight for weight, _ in masks]
    others = [p for p in model.parameters() if all(p is not w for w in weights)]
    groups = [{"params": weights, "weight_decay": decay}, {"params": others, "weight_decay": 0.0}]
    if optimizer == "sgd":
        update = torch.optim.SGD(groups, rate, nesterov=True, **options)
    else:
        update = torch.optim.AdamW(groups, rate, **options)
    loss_of, found = nn.CrossEntropyLoss(label_smoothing=replay.SMOOTHING), []
    for step in range(replay.STEPS):
        batch = slice(step * replay.BATCH, (step + 1) * replay.BATCH)
        update.zero_grad()
        loss = loss_of(model(torch.from_numpy(x[batch])), torch.from_numpy(y[batch]))
        loss.backward()
        for weight, mask in masks:
            weight.grad *= mask
        update.step()
        found.append(round(loss.item(), 7))
    return found


if __name__ == "__main__":
    torch.set_num_threads(1)
    document = {
        "versions": {"torch": torch.__version__, "numpy": np.__version__,
                     "python": platform.python_version()},
        "losses": {f"{network} {optimizer}": losses(network, optimizer)
                   for network in ("mlp", "cnn") for optimizer in replay.OPTIMIZERS},
    }  # fmt: skip
    Path(__file__).with_name("torch_losses.json").write_text(json.dumps(document, indent=1) + "\n")
