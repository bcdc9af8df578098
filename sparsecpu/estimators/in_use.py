"""Keeps Python threads from training an estimator that another one trains or predicts with."""

from __future__ import annotations

import contextlib
import functools
import os
import threading
from collections.abc import Callable, Iterator
from typing import Any, ParamSpec, TypeVar

from sparsecpu.errors import InUseError

P = ParamSpec("P")
R = TypeVar("R")


class _Users:
    """By the identity of an estimator: the thread that trains it, and how many others read it."""

    def __init__(self) -> None:
        self.begin_anew()

    def begin_anew(self) -> None:
        """Forget all; a forked child has none of the other threads."""
        self.lock = threading.Lock()
        self.training: dict[int, int] = {}
        self.reading: dict[int, int] = {}


_users = _Users()
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_users.begin_anew)


@contextlib.contextmanager
def in_training(estimator: Any) -> Iterator[None]:
    """Have an estimator alone inside the block; ``InUseError`` if another thread uses it."""
    key, me = id(estimator), threading.get_ident()
    with _users.lock:
        within = key in _users.training
        if _users.training.setdefault(key, me) != me:
            raise InUseError("trains it")
        if _users.reading.get(key):
            if not within:
                del _users.training[key]
            raise InUseError("predicts with it, or copies it")
    try:
        yield
    finally:
        if not within:
            with _users.lock:
                _users.training.pop(key, None)


@contextlib.contextmanager
def in_reading(estimator: Any) -> Iterator[None]:
    """Read an estimator inside the block; ``InUseError`` if another thread trains it."""
    key, me = id(estimator), threading.get_ident()
    with _users.lock:
        if _users.training.get(key, me) != me:
            raise InUseError("trains it")
        own = key in _users.training
        if not own:
            _users.reading[key] = _users.reading.get(key, 0) + 1
    try:
        yield
    finally:
        if not own:
            with _users.lock:
                _users.reading[key] = _users.reading.get(key, 1) - 1
                if _users.reading[key] < 1:
                    del _users.reading[key]


def reads(method: Callable[P, R]) -> Callable[P, R]:
    """Return a method of an estimator that is ``in_reading`` while it runs."""

    @functools.wraps(method)
    def reading(*arguments: P.args, **named: P.kwargs) -> R:
        with in_reading(arguments[0]):
            return method(*arguments, **named)

    return reading
