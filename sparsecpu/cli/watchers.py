"""What ``sparsecpu train`` hangs into training: a clock, Ctrl-C, a progress bar."""

from __future__ import annotations

import contextlib
import signal
import sys
import time
from typing import Any

import click

from sparsecpu.callbacks import Callback


class StepClock(Callback):
    """Notes how long steps and epochs take."""

    def __init__(self) -> None:
        self.steps: list[float] = []
        self.epochs: list[float] = []
        self._last = self._epoch = 0.0

    def on_fit_start(self, trainer: Any) -> None:
        """Start.

        Parameters
        ----------
        trainer : Trainer
            Not used.
        """
        self._last = self._epoch = time.perf_counter()

    def on_step(self, trainer: Any, loss: float) -> None:
        """Note a step.

        Parameters
        ----------
        trainer : Trainer
            Not used.
        loss : float
            Not used.
        """
        now = time.perf_counter()
        self.steps.append(now - self._last)
        self._last = now

    def on_epoch_end(self, trainer: Any, record: dict[str, Any]) -> None:
        """Note an epoch; see ``Callback``.

        Parameters
        ----------
        trainer : Trainer
            Not used.
        record : dict
            Gets ``seconds``.
        """
        now = time.perf_counter()
        self.epochs.append(now - self._epoch)
        record["seconds"] = self.epochs[-1]
        self._epoch = self._last = now

    def step_ms(self) -> float | None:
        """Return the median milliseconds of a step, topology updates and first steps apart."""
        return float(sorted(self.steps)[len(self.steps) // 2] * 1e3) if self.steps else None

    def seconds_per_epoch(self) -> float | None:
        """Return the median seconds of an epoch, updates included."""
        return sorted(self.epochs)[len(self.epochs) // 2] if self.epochs else None


class Interruption(Callback):
    """Turns Ctrl-C into an end between two steps; a second one ends at once."""

    def __init__(self) -> None:
        self._asked = False

    def listening(self):
        """Return a context in which Ctrl-C is caught."""

        @contextlib.contextmanager
        def manage():
            try:
                before = signal.signal(signal.SIGINT, self._ask)
            except ValueError:  # not in the main thread: Python raises KeyboardInterrupt there
                yield
                return
            try:
                yield
            finally:
                signal.signal(signal.SIGINT, before)

        return manage()

    def _ask(self, number: int, frame: Any) -> None:
        if self._asked:
            raise KeyboardInterrupt
        self._asked = True

    def on_step(self, trainer: Any, loss: float) -> None:
        """Tell the trainer.

        Parameters
        ----------
        trainer : Trainer
            Is told to stop.
        loss : float
            Not used.
        """
        if self._asked:
            trainer.interrupted = True


class ProgressBar(Callback):
    """Shows epochs, loss and time left on stderr."""

    def on_fit_start(self, trainer: Any) -> None:
        """Forget an earlier fit; the bar opens at the first step, when everything is compiled.

        Parameters
        ----------
        trainer : Trainer
            Not used.
        """
        self._bar: Any = None
        self._smooth: float | None = None

    def _open(self, trainer: Any) -> None:
        total = trainer.steps_per_epoch * trainer.epochs
        self._bar = click.progressbar(
            length=total, label="training", file=sys.stderr, show_pos=True, update_min_steps=
            max(1, total // 200), item_show_func=lambda text: text,
        )  # fmt: skip
        self._bar.__enter__()
        self._bar.update(trainer.steps_done - 1)

    def on_step(self, trainer: Any, loss: float) -> None:
        """Advance; see ``Callback``.

        Parameters
        ----------
        trainer : Trainer
            Knows the epoch.
        loss : float
            Is shown, smoothed.
        """
        if self._bar is None:
            self._open(trainer)
        self._smooth = loss if self._smooth is None else 0.95 * self._smooth + 0.05 * loss
        text = f"epoch {trainer.epochs_done + 1}/{trainer.epochs}  loss {self._smooth:.4f}"
        self._bar.update(1, text)

    def on_fit_end(self, trainer: Any) -> None:
        """Close the bar.

        Parameters
        ----------
        trainer : Trainer
            Not used.
        """
        if self._bar is not None:
            self._bar.__exit__(None, None, None)
