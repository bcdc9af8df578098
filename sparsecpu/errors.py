"""Every exception that sparsecpu raises on purpose."""

from __future__ import annotations

from typing import Any


class SparseCPUError(Exception):
    """Base of all exceptions that sparsecpu raises."""


class ParameterError(SparseCPUError, ValueError):
    """An argument has a value that cannot work.

    Parameters
    ----------
    name : str
        The argument.
    value : object
        The value that was given.
    expected : str
        What is allowed.
    """

    def __init__(self, name: str, value: Any, expected: str) -> None:
        self.name, self.value, self.expected = name, value, expected
        super().__init__(f"{name} is {value!r}; expected {expected}")


class ConflictError(ParameterError):
    """An argument has a value that cannot work beside another choice.

    Parameters
    ----------
    name : str
        The argument.
    other : str
        What it cannot be used with.
    reason : str
        Why not: what is known of ``other``, as in "which has no channels".
    """

    def __init__(self, name: str, other: str, reason: str) -> None:
        self.name, self.value, self.expected = name, None, f"something else than {other}"
        ValueError.__init__(self, f"{name} cannot be used with {other}, {reason}")


class PatternError(SparseCPUError, ValueError):
    """Index arrays do not form a valid sparsity pattern."""


class DataError(SparseCPUError, ValueError):
    """A data set cannot be read or used."""


class FileFormatError(SparseCPUError, ValueError):
    """A model or checkpoint file is damaged, or of another kind."""


class ResumeError(SparseCPUError, ValueError):
    """A checkpoint belongs to another network, data set or recipe."""


class FolderInUseError(SparseCPUError, RuntimeError):
    """Another process, or another thread, is writing into the same folder."""


class DivergedError(SparseCPUError, ArithmeticError):
    """Training produced a loss that is not finite.

    Parameters
    ----------
    step : int
        The optimizer step at which it was noticed, counted from 0.
    loss : float
        The loss of that step.
    learning_rate : float
        The learning rate of that step.
    """

    def __init__(self, step: int, loss: float, learning_rate: float) -> None:
        self.step, self.loss, self.learning_rate = step, loss, learning_rate
        super().__init__(
            f"the loss became {loss} at step {step} (learning rate {learning_rate:g}); "
            "a smaller learning rate or a warm-up usually cures this"
        )


class MissingExtraError(SparseCPUError, ImportError):
    """An optional package is needed and not installed.

    Parameters
    ----------
    package : str
        The package.
    purpose : str
        What needs it.
    extra : str
        The extra of sparsecpu that installs it.
    """

    def __init__(self, package: str, purpose: str, extra: str) -> None:
        self.package = package
        super().__init__(f"{purpose} needs {package}: pip install 'sparsecpu[{extra}]'")


class MemoryBudgetError(SparseCPUError, MemoryError):
    """Training would not fit into this machine's memory."""


class RankError(SparseCPUError, RuntimeError):
    """Ranks of one job disagree about something that must be the same on all of them."""


class ForkError(SparseCPUError, RuntimeError):
    """A process was forked after kernels had run in its parent, whose threads it lacks."""

    def __init__(self) -> None:
        super().__init__(
            "kernels ran in this process's parent before it was forked, and GNU OpenMP would end "
            "it; start processes with the spawn method (joblib's default does), or "
            "pip install 'sparsecpu[tbb]'"
        )
