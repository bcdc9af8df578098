"""Where the time of a step goes, and how long the step takes when nothing interferes."""

from __future__ import annotations

import collections
import contextlib
import time
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from sparsecpu.layers.base import inner_layers
from sparsecpu.layers.chain import Chain

#: The methods of a layer that are timed, those that it has, by the first word of their names.
_PASSES = ("forward", "forward_plus", "backward", "backward_plus", "backward_times")
#: Number of least times that are kept of each stretch.
_KEPT = 3
#: The name of everything that has no name of its own.
REST = "rest"


class StepClock:
    """A step that is timed in stretches, each by the least time that it took in several turns.

    Other work on the machine only adds to a time. A short stretch escapes it now and then, a long
    step hardly ever: so the sum of the stretches' least times is what a step takes by itself, even
    on a busy machine. ``step`` calls ``now`` the same way each time; see ``watched``.
    """

    def __init__(self, step: Callable[[], object]) -> None:
        self.step = step
        self.name = REST
        self._names: list[str] = []
        self._stamps: list[float] = []
        self._least = np.empty((0, 0))

    def now(self, name: str) -> str:
        """Begin a stretch called ``name``, and return the name of the one that ends here."""
        before = self.name
        self._names.append(before)
        self._stamps.append(time.perf_counter())
        self.name = name
        return before

    def take_over(self, names: list[str], stamps: list[float]) -> None:
        """Take over the stretches of another process's clock; all processes share the time."""
        self._names += [self.name, *names]  # what came before ended when the first began
        self._stamps += stamps

    def stretches(self) -> tuple[list[str], list[float]]:
        """Return the last step's names of stretches, and when each of them ended."""
        return self._names, self._stamps

    def __call__(self) -> None:
        """Do a step."""
        self.name = REST
        self._names.clear()
        self._stamps[:] = [time.perf_counter()]
        self.step()
        self.now(REST)
        spent = 1e3 * np.diff(self._stamps)
        if self._least.shape[1:] != spent.shape:  # the first turn
            self._least = np.empty((0, len(spent)))
        self._least = np.sort(np.vstack([self._least, spent]), axis=0)[:_KEPT]

    def least(self) -> np.ndarray:
        """Return the least milliseconds of a step and the next ones, at most three, rising."""
        return self._least.sum(axis=1)

    def by_name(self) -> dict[str, float]:
        """Return the least milliseconds of a step by name of stretch, the largest first."""
        sums: collections.Counter[str] = collections.Counter()
        for name, ms in zip(self._names, self._least[0], strict=True):
            sums[name] += ms
        return {name: float(ms) for name, ms in sums.most_common()}


@contextlib.contextmanager
def watched(network: Any, optimizer: Any, clock: StepClock) -> Iterator[None]:
    """Tell a clock what a network of ours and its optimizer are doing.

    What a block does is without what the layers inside it do.
    """
    calls = [(optimizer, "step", "update")]
    for _, layer in inner_layers(network):
        if not isinstance(layer, Chain):  # a chain only calls others
            calls += [
                (layer, method, f"{layer.kind} {method.partition('_')[0]}")
                for method in _PASSES if hasattr(layer, method)
            ]  # fmt: skip
    for owner, method, name in calls:
        setattr(owner, method, _named(getattr(owner, method), name, clock))
    try:
        yield
    finally:
        for owner, method, _ in calls:
            delattr(owner, method)


def _named(call: Callable, name: str, clock: StepClock) -> Callable:
    def named(*arguments: Any, **options: Any) -> Any:
        before = clock.now(name)
        result = call(*arguments, **options)
        clock.now(before)
        return result

    return named


@contextlib.contextmanager
def watched_torch(network: Any, optimizer: Any, clock: StepClock) -> Iterator[None]:
    """Tell a clock what a network of PyTorch's and its optimizer are doing."""

    def tell(name: str) -> Callable:
        def hook(*_: Any) -> None:  # what hooks return would take the place of what they are given
            clock.now(name)

        return hook

    def begins(module: Any, _: Any) -> None:
        clock.now(f"{type(module).__name__} forward")

    def done(module: Any, _: Any, y: Any) -> None:
        clock.now(REST)
        if y.requires_grad:
            y.register_hook(tell(f"{type(module).__name__} backward"))

    hooks = [
        optimizer.register_step_pre_hook(tell("update")),
        optimizer.register_step_post_hook(tell(REST)),
    ]
    for module in network.modules():
        if not any(True for _ in module.children()):
            hooks += [module.register_forward_pre_hook(begins), module.register_forward_hook(done)]
    try:
        yield
    finally:
        for hook in hooks:
            hook.remove()
