"""Every exception that sparsecpu raises on purpose."""

from __future__ import annotations

import reprlib
from typing import Any

#: Characters of the longest message.
_LONGEST = 800
_PLAIN = (str, int, float, bool, bytes, type(None))


def _kind(value: Any) -> str:
    """Return the type of a value in words."""
    name = type(value).__name__.removeprefix("nd")
    return f"{'an' if name[0].lower() in 'aeiou' else 'a'} {name}"


class _Brief(reprlib.Repr):
    """Writes numbers of NumPy as plain ones, and of arrays the first entries or the shape."""

    def __init__(self) -> None:
        super().__init__()
        self.maxlevel = 3
        self.maxlist = self.maxtuple = self.maxdict = self.maxset = self.maxfrozenset = 8
        self.maxstring = self.maxother = 160

    def repr1(self, x: Any, level: int) -> str:
        shape, dtype = getattr(x, "shape", None), getattr(x, "dtype", None)
        if not isinstance(shape, tuple) or dtype is None:
            return super().repr1(x, level)
        if len(shape) == 1 and hasattr(x, "tolist"):
            return super().repr1(x[: self.maxlist + 1].tolist(), level)
        if shape or not hasattr(x, "item"):
            return f"{_kind(x)} of {dtype}, shape {tuple(shape)}"
        plain = x.item()
        # Dates have several types in Python, and a long double has none.
        odd = getattr(dtype, "kind", "") in ("M", "m") or type(plain) is type(x)
        return str(x) if odd else super().repr1(plain, level)

    def repr_int(self, x: int, level: int) -> str:
        return repr(x) if x.bit_length() < 200 else f"an integer of {x.bit_length()} bits"

    def repr_instance(self, x: Any, level: int) -> str:
        text = super().repr_instance(x, level)
        has_none = type(x).__repr__ is object.__repr__
        return _kind(x) if has_none or "\n" in text else text


_BRIEF = _Brief()


def brief(value: Any) -> str:
    """Return a value as a message shows it: in short, and NumPy's numbers as plain ones.

    Parameters
    ----------
    value : object
        What a user has given, of any type.
    """
    return _BRIEF.repr(value)


def _plain(value: Any) -> Any:
    """Return a value that any process can read: itself, or its text."""
    if type(value) in (tuple, list):
        return type(value)(map(_plain, value))
    return value if type(value) in _PLAIN else repr(value)


def _remade(kind: type[SparseCPUError], args: tuple[Any, ...], kept: dict[str, Any]) -> Any:
    """Return an exception as it was when it was pickled."""
    error = Exception.__new__(kind)
    super(SparseCPUError, error).__init__(*args)  # what Python's own class does with the message
    error.__dict__.update(kept)
    return error


class SparseCPUError(Exception):
    """Base of all exceptions that sparsecpu raises.

    They can be pickled and copied, so they come back whole from other processes. An attribute that
    is no plain value, such as an array, comes back as its text.
    """

    def __str__(self) -> str:
        # Names and values in it may come from a file: they neither break the line nor fill a page.
        text = super().__str__()
        if not text.isprintable():
            text = "".join(c if c.isprintable() else repr(c)[1:-1] for c in text)
        return (
            text if len(text) <= _LONGEST else f"{text[: _LONGEST // 2]} … {text[-_LONGEST // 4 :]}"
        )

    def __reduce__(self) -> tuple[Any, ...]:
        # Not by the arguments of the constructor, as exceptions otherwise are: their own differ.
        kept = {name: _plain(value) for name, value in vars(self).items()}
        return _remade, (type(self), tuple(map(_plain, self.args)), kept)


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
        super().__init__(f"{name} is {brief(value)}; expected {expected}")


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


class InUseError(SparseCPUError, RuntimeError):
    """Another thread trains an estimator, or one that is to be trained is being read."""

    def __init__(self, use: str) -> None:
        super().__init__(
            f"the estimator is in use: another thread {use}; wait for it, or give each thread a "
            "copy (sklearn.base.clone, or copy.deepcopy with what was learnt)"
        )


class DivergedError(SparseCPUError, ArithmeticError, ValueError):
    """Training produced a loss, or left weights, that are not finite.

    It is a ``ValueError`` because what scikit-learn raises then is one, and callers expect it.

    Parameters
    ----------
    step : int
        The optimizer step at which it was noticed, counted from 0.
    loss : float
        The loss of that step; where an array was noticed, the mean loss of the steps before.
    learning_rate : float
        The learning rate of that step.
    where : str, optional
        Name of the array that is not finite, where the loss still was.
    """

    def __init__(self, step: int, loss: float, learning_rate: float, where: str = "") -> None:
        self.step, self.loss, self.learning_rate, self.where = step, loss, learning_rate, where
        found = f"the loss became {loss} at step {step}"
        if where:
            found = f"training diverged: {where} is not finite after step {step}"
        super().__init__(
            f"{found} (learning rate {learning_rate:g}); "
            "a smaller learning rate or a warm-up usually cures this, or scaling the data"
        )


class NotFiniteError(SparseCPUError, ValueError):
    """A network's outputs are not finite, so they say nothing."""

    def __init__(self) -> None:
        super().__init__(
            "the outputs of the network are not finite: training diverged (a smaller learning rate "
            "or a warm-up usually cures this), or samples have far too large numbers"
        )


class DataWarning(UserWarning):
    """What was made of data that could be read in more ways than one, and how to choose another."""


class DivergenceWarning(UserWarning):
    """Training ended with a loss far above the one that it began with."""


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
