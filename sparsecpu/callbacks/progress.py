"""What is shown of a run while it trains."""

from __future__ import annotations

from typing import Any, TextIO

from sparsecpu.callbacks.base import Callback
from sparsecpu.callbacks.compiling import CompilingShown
from sparsecpu.reading.live_line import Line, Pace, Word, clock_time, line_on
from sparsecpu.step.training_clock import clock_without_compiling

#: Seconds after which a log has a line within an epoch, too.
_LONG = 60.0
#: Seconds of training after which the time that is left can be told.
_ENOUGH = 0.5
#: So many epochs have a line each in a log, however short they are.
_MANY = 100
#: What a new loss weighs in the one that is shown.
_NEW = 0.05


class Progress(Callback):
    """Shows epochs, loss, validation score, speed and the time that is left.

    On a terminal it is a line that is kept up to date and fits its width, in a notebook an output
    that changes, anywhere else a line per epoch, but of more than a hundred epochs that are shorter
    than a few seconds not each.
    What compiling takes is in none of its times.

    Parameters
    ----------
    stream : text file, optional
        Where to write, if this is no notebook; the standard error by default.
    line : Line, optional
        A line that others write on, too; by default one that fits the stream.
    before : tuple of Word
        What to show first, such as which of several runs this is.

    Examples
    --------
    ::

        trainer = Trainer(network, loss=loss, callbacks=[Progress()])
    """

    comes_last = True

    def __init__(
        self, stream: TextIO | None = None, *, line: Line | None = None,
        before: tuple[Word, ...] = (),
    ) -> None:  # fmt: skip
        self.line = line_on(stream) if line is None else line
        self.before = before
        self._pace, self._compiling = Pace(self.line), CompilingShown(self.line)
        self._scores: list[Word] = []
        self._smooth: float | None = None
        self._pending: list[Word] | None = None  # of an epoch that has no line yet

    def on_fit_start(self, trainer) -> None:
        self._compiling.begin()
        self._began = self._last = self._said = clock_without_compiling()
        self._first: int | None = None
        self._smooth = self._pending = None

    def on_step(self, trainer, loss) -> None:
        now = clock_without_compiling()
        if self._first is None:  # it draws patterns and reads kernels: speed is that of the others
            self._first, self._since, self._busy = trainer.steps_done, now, 0.0
        else:
            self._busy += now - self._last
        self._last = now
        old = self._smooth
        self._smooth = loss if old is None else old + _NEW * (loss - old)
        due = self._pace.due() if self.line.live else now - self._said > _LONG
        if due:
            self._show(trainer, self._words(trainer, self._smooth, trainer.epochs_done + 1))

    def on_epoch_end(self, trainer, record) -> None:
        self._last = clock_without_compiling()
        self._scores = _scores(record)
        self._pending = self._words(trainer, record["loss"], trainer.epochs_done)
        alone = not (self.line.live or self.before)  # a log, and not of many runs
        if self._pace.due() or (alone and trainer.course.total_epochs <= _MANY):
            self._show(trainer, self._pending)

    def on_fit_end(self, trainer) -> None:
        self._compiling.end()
        broken_off = trainer.halted and trainer.epochs_done < trainer.epochs
        if self._pending is not None:
            self._show(trainer, self._pending)
        if self.line.live and broken_off:
            self.line.drop()
        else:
            self.line.leave()

    def on_fit_failed(self, trainer) -> None:
        self._compiling.end()
        self.line.drop()

    def _show(self, trainer: Any, words: list[Word]) -> None:
        self._said, self._pending = self._last, None
        self.line.show(words, trainer.steps_done / max(trainer.course.total_steps, 1))

    def _words(self, trainer: Any, loss: float, epoch: int) -> list[Word]:
        """Return what is known now, the most important first to stay where room is short."""
        place = _place(trainer, epoch)
        score = f"{loss:.4f}" if loss < 1e4 else f"{loss:.3g}"
        short = f"{loss:.3f}" if loss < 100 else f"{loss:.3g}"
        found = [*self.before, place, Word(f"loss {score}", f"loss {short}", 1), *self._scores]
        if self._first is not None and (done := trainer.steps_done - self._first):
            found.append(self._speed(trainer, self._first))
            left = trainer.course.total_steps - trainer.steps_done
            spent = self._last - self._since
            if left and not trainer.stop and spent > _ENOUGH:
                time_left = clock_time(spent / done * left)
                found.append(Word(f"{time_left} left", time_left, 2))
        if trainer.stop or trainer.steps_done == trainer.course.total_steps:
            whole = f"in {clock_time(self._last - self._began)}"
            found.append(Word(whole, whole, 2))
        return found

    def _speed(self, trainer: Any, first: int) -> Word:
        """Return samples per second, or tokens."""
        used = trainer.course.samples_used
        count, unit = used(trainer.steps_done) - used(first), "samples"
        if getattr(trainer.loss, "of_tokens", False):
            count, unit = count * trainer.network.longest, "tokens"
        rate = count / max(self._busy, 1e-9)
        shown = f"{rate:,.0f}" if rate >= 100 else f"{rate:.3g}"
        return Word(f"{shown} {unit}/s", f"{_brief(rate)}/s", 4)


def _place(trainer: Any, epoch: int) -> Word:
    """Return the epoch of all, or the step where steps say how long a run is."""
    if trainer.steps is None:
        whole = f"{min(epoch, trainer.epochs)}/{trainer.epochs}"
        return Word(f"epoch {whole}", whole)
    done, of = trainer.steps_done, trainer.steps
    return Word(f"step {done:,}/{of:,}", f"{done}/{of}")


def _scores(record: dict[str, Any]) -> list[Word]:
    """Return what the record knows of held-out samples."""
    if (score := record.get("validation_score")) is not None:
        return [Word(f"validation {score:.4f}", f"val {score:.3f}", 3)]
    if (loss := record.get("validation_loss")) is not None:
        return [Word(f"validation loss {loss:.4f}", f"val {loss:.3f}", 3)]
    return []


def _brief(number: float) -> str:
    """Return a number in four characters or so: ``950``, ``12k``, ``1.2M``."""
    for size, letter in ((1e6, "M"), (1e3, "k")):
        if number >= size:
            scaled = number / size
            return f"{scaled:.1f}{letter}" if scaled < 10 else f"{scaled:.0f}{letter}"
    return f"{number:.3g}"
