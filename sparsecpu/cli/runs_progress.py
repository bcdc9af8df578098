"""What is shown while ``sparsecpu compare`` does its runs."""

from __future__ import annotations

import time
from typing import Any

from sparsecpu.callbacks import Callback, Progress
from sparsecpu.reading.live_line import Line, Pace, Word, clock_time

#: What runs know of themselves and all of them together do not: the time that is left.
_TIME = 2


class RunsProgress:
    """Shows which of several runs is at work, how it goes, and how long all will take.

    ``label`` is what they are: ``run``.
    """

    def __init__(self, line: Line, total: int, label: str) -> None:
        self.line, self.total, self.label = line, total, label
        self.done, self._pace = 0, Pace(line)
        self._began = time.perf_counter()

    def watching(self, cell: Any) -> list[Callback]:
        """Return the callbacks of a run of this process."""
        return [_Inside(self, _named(cell))]

    def note(self, result: dict[str, Any]) -> None:
        """Take note that a run is done."""
        self.done += 1
        if self._pace.due() or self.done == self.total:
            score = "diverged" if result["score"] is None else f"score {result['score']:.4f}"
            name = f"{result['method']} at {result['density']:g}"
            words = [Word(name, name, 3), Word(score, score, 1)]
            self.show([self.place(self.done), *words], 0.0)

    def place(self, number: int) -> Word:
        """Return which run of all this is."""
        return Word(f"{self.label} {number}/{self.total}", f"{number}/{self.total}")

    def show(self, words: list[Word], part: float) -> None:
        """Show words, where ``part`` of a run is done beside those that are done."""
        now = self.done + part
        spent = time.perf_counter() - self._began
        if now and spent > 1.0:
            time_left = clock_time(spent / now * (self.total - now))
            words.append(Word(f"{time_left} left", time_left, _TIME))
        self.line.show(words, now / max(self.total, 1))

    def end(self) -> None:
        """Leave no line behind: a table follows."""
        self.line.drop()


class _Inside(Progress):
    """Shows a single one of the runs, where that takes long enough."""

    def __init__(self, runs: RunsProgress, name: str) -> None:
        super().__init__(line=runs.line)
        self.runs, self.name = runs, Word(name, name, 3)

    def on_epoch_end(self, trainer, record) -> None:
        if self.line.live:
            super().on_epoch_end(trainer, record)

    def on_fit_end(self, trainer) -> None:
        self._compiling.end()

    def _show(self, trainer: Any, words: list[Word]) -> None:
        self._said, self._pending = self._last, None
        own = [word for word in words if word.rank != _TIME]
        place = self.runs.place(self.runs.done + 1)
        own[0] = own[0]._replace(rank=3)
        part = trainer.steps_done / max(trainer.course.total_steps, 1)
        self.runs.show([place, self.name, *own], part)


def _named(cell: Any) -> str:
    return f"{cell.method} at {cell.density:g}"
