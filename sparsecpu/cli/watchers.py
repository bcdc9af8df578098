"""Callbacks of ``sparsecpu train``: a clock, Ctrl-C, a progress bar."""

from __future__ import annotations

import contextlib
import sys
import time
from typing import Any

import click

from sparsecpu.callbacks import Callback, Training
from sparsecpu.cli.signals import Ended, handled


class StepClock(Callback):
    """Notes how long epochs take, and steps: each of its batches, where several make a step."""

    def __init__(self) -> None:
        self.steps: list[float] = []
        self.epochs: list[float] = []
        self._last = self._epoch = 0.0

    def on_fit_start(self, trainer) -> None:
        self._last = self._epoch = time.perf_counter()

    def on_step(self, trainer, loss) -> None:
        now = time.perf_counter()
        self.steps.append((now - self._last) / trainer.accumulate)
        self._last = now

    def on_epoch_end(self, trainer, record) -> None:
        now = time.perf_counter()
        self.epochs.append(now - self._epoch)
        record["seconds"] = self.epochs[-1]
        self._epoch = self._last = now

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


class ProgressBar(Callback):
    """Shows epochs, loss and time left on stderr, once the first step has compiled everything."""

    def on_fit_start(self, trainer) -> None:
        self._bar: Any = None
        self._smooth: float | None = None

    def _open(self, trainer: Training) -> None:
        total = trainer.course.total_steps
        self._bar = click.progressbar(
            length=total,
            label="training",
            file=sys.stderr,
            width=0,  # as wide as the terminal leaves room for: a line that wraps is shown twice
            show_pos=True,
            update_min_steps=max(1, total // 200),
            item_show_func=lambda text: text,
        )
        self._bar.__enter__()
        self._bar.update(trainer.steps_done - 1)

    def on_step(self, trainer, loss) -> None:
        if self._bar is None:
            self._open(trainer)
        self._smooth = loss if self._smooth is None else 0.95 * self._smooth + 0.05 * loss
        text = f"epoch {trainer.epochs_done + 1}/{trainer.epochs}  loss {self._smooth:.4f}"
        self._bar.update(1, text)

    def on_fit_end(self, trainer) -> None:
        if self._bar is not None:
            self._bar.__exit__(None, None, None)


class Rehearsed(Exception):
    """A step has been rehearsed."""


class Rehearsal(Callback):
    """Ends training after its first step."""

    def on_step(self, trainer, loss) -> None:
        raise Rehearsed
