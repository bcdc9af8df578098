"""Scores on held-out samples while training goes on."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from sparsecpu.callbacks import Callback
from sparsecpu.step.plain_values import anything, listed, named, table


class Evaluations(Callback):
    """Scores the network every so many steps, and adds the scores to the epoch's record.

    ``score(network)`` returns scores by name, and ``say`` is told them in a line.
    """

    def __init__(
        self, every: int, score: Callable[[Any], dict[str, float]], say: Callable[[str], None]
    ) -> None:
        self.every, self.score, self.say = every, score, say
        self._found: list[dict[str, Any]] = []

    def on_step(self, trainer, loss) -> None:
        if trainer.steps_done % self.every:
            return
        found = self.score(trainer.network)
        self._found.append({"step": trainer.steps_done, **found})
        words = ", ".join(f"{name.replace('_', ' ')} {value:.4f}" for name, value in found.items())
        self.say(f"step {trainer.steps_done:,}: held-out {words}")

    def on_epoch_end(self, trainer, record) -> None:
        if self._found:
            record["evaluations"], self._found = self._found, []

    def state(self) -> dict[str, Any]:
        return {"found": self._found} if self._found else {}  # of an epoch that was broken off

    def load_state(self, values) -> None:
        table({"found": listed(named(anything))})(values, "Evaluations")
        self._found = list(values["found"])
