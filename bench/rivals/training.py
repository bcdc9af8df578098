"""One whole training against the clock, in a process of its own: by PyTorch, scikit-learn or us.

Run as ``python -m sparsecpu.bench.rivals.training``, it reads what to train from its standard input
and prints one line of JSON. Everybody first trains on a few batches, so that kernels are compiled,
or read from the cache, and threads are there. The clock runs while the network trains after that;
it stands still while samples are prepared and while the test samples are scored. What compiling
took is told apart.
"""

from __future__ import annotations

import contextlib
import functools
import itertools
import json
import sys
import time
from collections.abc import Callable
from typing import Any

import numpy as np

#: Batches of an epoch before the clock starts, and epochs, between which the topology is updated.
_WARM_BATCHES, _WARM_EPOCHS = 3, 2
#: What all contestants share; the learning rate falls along a cosine after a warm-up.
MOMENTUM, WEIGHT_DECAY, SMOOTHING = 0.9, 5e-4, 0.1


class _Clock:
    """Seconds of training, and the test accuracy at the end of each epoch."""

    def __init__(self) -> None:
        self.seconds: list[float] = []
        self.accuracy: list[float] = []
        self._spent, self._since = 0.0, time.perf_counter()

    def end_epoch(self, accuracy: Callable[[], float]) -> None:
        self._spent += time.perf_counter() - self._since
        self.seconds.append(self._spent)
        self.accuracy.append(accuracy())
        self._since = time.perf_counter()


def train(spec: dict[str, Any]) -> dict[str, Any]:
    """Train as ``subjects.accuracy`` specifies; return seconds and accuracy of each epoch."""
    with np.load(spec["data"]) as data:
        arrays = [data[name] for name in ("x_train", "y_train", "x_test", "y_test")]
    if spec["kind"] != "sparsecpu":
        mean, deviation = arrays[0].mean(dtype=np.float64), arrays[0].std(dtype=np.float64)
        for i in (0, 2):
            arrays[i] = ((arrays[i] - mean) / deviation).astype(np.float32)
    train_with = {"sparsecpu": _sparsecpu, "pytorch": _pytorch, "scikit-learn": _sklearn}
    race, few = train_with[spec["kind"]], _WARM_BATCHES * spec["batch"]
    began = _compiled()
    race({**spec, "epochs": _WARM_EPOCHS}, arrays[0][:few], arrays[1][:few], *arrays[2:])
    compiling = _compiled() - began
    return {**race(spec, *arrays), "compile_seconds": compiling}


def _compiled() -> float:
    """Return the seconds that kernels of ours have taken to compile in this process."""
    from sparsecpu.kernels.machine.compile import compile_clock

    return float(compile_clock.seconds)


def _sparsecpu(spec, x, y, x_test, y_test) -> dict[str, Any]:
    from sparsecpu.callbacks import Callback
    from sparsecpu.experiments.networks import build, describe
    from sparsecpu.experiments.recipe import Recipe
    from sparsecpu.experiments.trainers import make_trainer

    recipe = Recipe(
        model=spec["hidden"], density=spec["density"], topology=spec["topology"],
        epochs=spec["epochs"], batch_size=spec["batch"], learning_rate=spec["learning_rate"],
        momentum=MOMENTUM, weight_decay=WEIGHT_DECAY, label_smoothing=SMOOTHING, seed=spec["seed"],
        precision=spec["precision"],
    )  # fmt: skip
    classes = int(y.max()) + 1
    architecture = describe(recipe, (x.shape[1],), classes).in_groups(spec["group"])
    clock = _Clock()  # drawing patterns counts
    network = build(recipe, architecture, x, y, "global")

    class _Watch(Callback):
        def on_epoch_end(self, trainer: Any, record: dict[str, Any]) -> None:
            clock.end_epoch(accuracy)

    def accuracy() -> float:
        found = network.predict(x_test, batch_size=spec["batch"]).argmax(axis=1)
        return float(np.mean(found == y_test))

    trainer = make_trainer(
        recipe, network, "classification", len(y), threads=spec["threads"], callbacks=[_Watch()]
    )
    trainer.fit(x, y)
    return _outcome(clock, network.nnz, spec, len(y))


def _pytorch(spec, x, y, x_test, y_test) -> dict[str, Any]:
    import torch

    torch.set_num_threads(spec["threads"])
    torch.manual_seed(spec["seed"])
    sizes = [x.shape[1], *map(int, spec["hidden"].split(",")), int(y.max()) + 1]
    layers: list[Any] = []
    for i, o in itertools.pairwise(sizes):
        layers += [torch.nn.Linear(i, o), torch.nn.ReLU()]
    network = torch.nn.Sequential(*layers[:-1])
    for layer in layers[::2]:
        torch.nn.init.kaiming_uniform_(layer.weight, nonlinearity="relu")
        torch.nn.init.zeros_(layer.bias)
    optimizer = torch.optim.SGD(network.parameters(), lr=1.0, momentum=MOMENTUM, nesterov=True,
                                weight_decay=WEIGHT_DECAY)  # fmt: skip
    loss_of = torch.nn.CrossEntropyLoss(label_smoothing=SMOOTHING)
    rate, rng = _rates(spec, len(y)), np.random.default_rng(spec["seed"])
    x, y, x_test = (
        torch.from_numpy(x),
        torch.from_numpy(y.astype(np.int64)),
        torch.from_numpy(x_test),
    )

    def accuracy() -> float:
        with torch.no_grad():
            return float(np.mean(network(x_test).argmax(dim=1).numpy() == y_test))

    rounded: Callable[[], Any] = contextlib.nullcontext
    if spec["precision"] == "bf16":
        rounded = functools.partial(torch.autocast, "cpu", torch.bfloat16)
    clock, step = _Clock(), 0
    for _ in range(spec["epochs"]):
        order = torch.from_numpy(rng.permutation(len(y)))
        for first in range(0, len(y), spec["batch"]):
            rows = order[first : first + spec["batch"]]
            for group in optimizer.param_groups:
                group["lr"] = rate(step)
            optimizer.zero_grad()
            with rounded():
                loss = loss_of(network(x[rows]), y[rows])
            loss.backward()
            optimizer.step()
            step += 1
        clock.end_epoch(accuracy)
    weights = sum(layer.weight.numel() for layer in layers[::2])
    return _outcome(clock, weights, spec, len(y))


def _sklearn(spec, x, y, x_test, y_test) -> dict[str, Any]:
    from sklearn.neural_network import MLPClassifier
    from threadpoolctl import threadpool_limits

    network = MLPClassifier(
        tuple(map(int, spec["hidden"].split(","))), solver="sgd", batch_size=spec["batch"],
        learning_rate_init=spec["learning_rate"], momentum=MOMENTUM, alpha=WEIGHT_DECAY,
        random_state=spec["seed"],
    )  # fmt: skip
    clock = _Clock()
    with threadpool_limits(spec["threads"]):
        for _ in range(spec["epochs"]):
            network.partial_fit(x, y, classes=np.unique(y))
            clock.end_epoch(lambda: float(network.score(x_test, y_test)))
    return _outcome(clock, sum(w.size for w in network.coefs_), spec, len(y))


def _rates(spec: dict[str, Any], samples: int) -> Callable[[int], float]:
    """Return the learning rates of the sparse networks' schedule."""
    from sparsecpu.schedules import cosine, warmup

    steps = -(-samples // spec["batch"]) * spec["epochs"]
    return warmup(cosine(spec["learning_rate"], steps), steps // 20)


def _outcome(clock: _Clock, nnz: int, spec: dict[str, Any], samples: int) -> dict[str, Any]:
    """Return what is known now; a step counts with its part of what updates take.

    It is that of the quickest epoch, for other work on the machine only adds to a time; the first
    one draws patterns as well, unless there is no other.
    """
    spent = np.diff(clock.seconds, prepend=0.0)
    fastest = (spent[1:] if len(spent) > 1 else spent).min()
    return {
        "step_ms": 1e3 * float(fastest) / -(-samples // spec["batch"]),
        "seconds": [round(s, 3) for s in clock.seconds], "accuracy": clock.accuracy,
        "nnz": int(nnz),
    }  # fmt: skip


if __name__ == "__main__":
    print(json.dumps(train(json.loads(sys.stdin.read()))))
