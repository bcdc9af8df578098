"""The dense side of ``gpt_hour.py``: the same GPT in PyTorch."""

from __future__ import annotations

import contextlib
import math
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch
from hour import CLIP, DECAY, Record, Task

from sparsecpu.bench.cases import NetworkCase
from sparsecpu.bench.rivals.torch_gpt import onednn_linear, torch_gpt
from sparsecpu.files.writing import atomic_write

#: Deviation of first weights.
SPREAD = 0.02


class Dense:
    """The same network in PyTorch, with first values as nanoGPT's."""

    def __init__(self, task: Task, linear: Any) -> None:
        given = task.given
        torch.manual_seed(given.seed)
        sizes = (task.data.input_shape[0], task.data.n_outputs)
        case = NetworkCase(sizes, given.batch, (), 1, given.model)
        self.task, self.network = task, torch_gpt(case, linear)
        blocks = len(self.network.blocks)
        for name, weight in self.network.named_parameters():
            if weight.dim() == 2:
                adds = name.endswith(("output.weight", "down.weight"))
                torch.nn.init.normal_(weight, 0.0, SPREAD / math.sqrt(2 * blocks if adds else 1))
            elif name.endswith("bias"):
                torch.nn.init.zeros_(weight)
        parameters = list(self.network.parameters())
        groups = [
            {"params": [p for p in parameters if p.dim() == 2], "weight_decay": DECAY},
            {"params": [p for p in parameters if p.dim() != 2], "weight_decay": 0.0},
        ]
        self.optimizer = torch.optim.AdamW(groups, fused=True)
        self.steps, self.half = 0, given.what == "dense-bf16"

    def loss(self, x: np.ndarray, y: np.ndarray) -> Any:
        """Return the mean loss of windows."""
        ids, after = (torch.from_numpy(np.asarray(t, np.int64)) for t in (x, y))
        autocast = torch.autocast("cpu", torch.bfloat16) if self.half else contextlib.nullcontext()
        with autocast:
            z = self.network(ids)
            return torch.nn.functional.cross_entropy(z.flatten(0, 1), after.flatten())

    def step(self, rows: np.ndarray, rate: float) -> float:
        """Learn from these windows; return their mean loss before that."""
        for group in self.optimizer.param_groups:
            group["lr"] = rate
        self.optimizer.zero_grad()
        loss = self.loss(self.task.data.x_train[rows], self.task.data.y_train[rows])
        loss.backward()
        torch.nn.utils.clip_grad_norm_(self.network.parameters(), CLIP)
        self.optimizer.step()
        self.steps += 1
        return loss.item()

    def validate(self) -> float:
        """Return the loss on the windows that are held out."""
        x, y = self.task.held_out()
        size, total = self.task.given.batch, 0.0
        with torch.no_grad():
            for at in range(0, len(x), size):
                part = slice(at, at + size)
                total += self.loss(x[part], y[part]).item() * len(x[part])
        return total / len(x)

    def arrays(self) -> dict[str, np.ndarray]:
        """Return all that the run needs to go on."""
        found = {f"weight/{n}": t.numpy() for n, t in self.network.state_dict().items()}
        for number, kept in self.optimizer.state_dict()["state"].items():
            found |= {f"adam/{number}/{name}": t.numpy() for name, t in kept.items()}
        return {**found, "steps": np.array(self.steps)}

    def load(self, path: Path) -> None:
        """Take up what ``arrays`` returned, from a file."""
        with np.load(path, allow_pickle=False) as file:
            held = {name: torch.from_numpy(file[name]) for name in file.files}
        self.steps = int(held.pop("steps"))
        weights = {n.removeprefix("weight/"): t for n, t in held.items() if n[0] == "w"}
        self.network.load_state_dict(weights)
        state: dict[int, dict[str, Any]] = {}
        for name, tensor in held.items():
            if name[0] == "a":
                _, number, slot = name.split("/")
                state.setdefault(int(number), {})[slot] = tensor
        self.optimizer.load_state_dict({**self.optimizer.state_dict(), "state": state})


def fastest_linear(task: Task) -> Any:
    """Return how linear layers are computed fastest: by PyTorch's choice, or by oneDNN."""
    rows, seconds = np.arange(task.given.batch), {}
    for name, linear in {"PyTorch's own": None, "oneDNN": onednn_linear()}.items():
        trial, times = Dense(task, linear), []
        for _ in range(3):
            began = time.process_time()
            trial.step(rows, 1e-4)
            times.append(time.process_time() - began)
        seconds[min(times)] = name, linear
        print(f"linear layers, {name}: {min(times):.2f} s a step", flush=True)
    return seconds[min(seconds)][1]


def train_dense(task: Task, record: Record) -> None:
    """Train by PyTorch."""
    torch.set_num_threads(1)
    half = task.given.what == "dense-bf16"
    model = Dense(task, None if half else fastest_linear(task))

    def keep() -> None:
        record.keep(model.steps, model.validate())
        with atomic_write(record.checkpoint) as file:
            np.savez(file, **model.arrays())

    if record.checkpoint.exists():
        model.load(record.checkpoint)
        record.go_on(model.steps)
    else:
        keep()
    batches = task.batches(model.steps)
    record.starts()
    while not record.ended:
        if record.step_done(model.step(next(batches), record.rate(task.given.rate))):
            keep()
            record.starts()
