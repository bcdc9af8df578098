"""Callbacks of ``sparsecpu train``: a clock, and Ctrl-C."""

from __future__ import annotations

import contextlib
from typing import Any

from sparsecpu.callbacks import Callback
from sparsecpu.cli.signals import Ended, handled
from sparsecpu.step.training_clock import clock_without_compiling, compiled_seconds


class StepClock(Callback):
    """Notes how long epochs take, and steps: each of its batches, where several make a step.

    What compiling takes is in neither; the record of an epoch has it beside its seconds, if any.
    """

    def __init__(self) -> None:
        self.steps: list[float] = []
        self.epochs: list[float] = []
        self._last = self._epoch = self._compiled = 0.0

    def on_fit_start(self, trainer) -> None:
        self._last = self._epoch = clock_without_compiling()
        self._compiled = compiled_seconds()

    def on_step(self, trainer, loss) -> None:
        now = clock_without_compiling()
        self.steps.append((now - self._last) / trainer.accumulate)
        self._last = now

    def on_epoch_end(self, trainer, record) -> None:
        now, compiled = clock_without_compiling(), compiled_seconds()
        self.epochs.append(now - self._epoch)
        record["seconds"] = self.epochs[-1]
        if compiled > self._compiled:
            record["compile_seconds"] = compiled - self._compiled
        self._epoch = self._last = now
        self._compiled = compiled

    def step_ms(self) -> float | None:
        """Return the median milliseconds of a step, which few slow ones do not change."""
        return float(sorted(self.steps)[len(self.steps) // 2] * 1e3) if self.steps else None

    def seconds_per_epoch(self) -> float | None:
        """Return the median seconds of an epoch, updates included."""
        return sorted(self.epochs)[len(self.epochs) // 2] if self.epochs else None


class Interruption(Callback):
    """Turns Ctrl-C, and other signals to end, into an end between two steps; a second ends at once.

    ``number`` is the signal, None before one has come.
    """

    def __init__(self) -> None:
        self.number: int | None = None

    def listening(self) -> contextlib.AbstractContextManager[None]:
        """Catch signals inside the ``with`` block."""
        return handled(self._press, ctrl_c=True)

    def _press(self, number: int, frame: Any) -> None:
        if self.number is not None:
            raise Ended(number)
        self.number = number

    def on_step(self, trainer, loss) -> None:
        if self.number is not None:
            trainer.interrupted = True
