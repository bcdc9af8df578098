"""Ctrl-C while an estimator trains: it ends after the step, with a network that can be used."""

from __future__ import annotations

import contextlib
import signal
import threading
import warnings
from collections.abc import Iterator
from typing import Any

from sparsecpu.callbacks import BestModel
from sparsecpu.step.outcome import refuse_not_finite


@contextlib.contextmanager
def ends_at_ctrl_c(trainer: Any) -> Iterator[None]:
    """Let a Ctrl-C inside the ``with`` block set ``trainer.interrupted``, and do nothing else.

    A second one raises ``KeyboardInterrupt`` as usual. So does the first if it does not come as a
    signal: what a step has left then, half of it perhaps, is taken for its end. Where somebody else
    handles the signal, or in other threads, which Python never interrupts, nothing is changed.
    """
    before = signal.getsignal(signal.SIGINT)
    main = threading.current_thread() is threading.main_thread()
    ours = main and before is signal.default_int_handler

    def stop(number: int, frame: Any) -> None:
        trainer.interrupted = True
        signal.signal(signal.SIGINT, before)

    if ours:
        signal.signal(signal.SIGINT, stop)
    try:
        yield
    except KeyboardInterrupt:
        if trainer.interrupted:
            raise
        trainer.interrupted = True
    finally:
        if ours:
            signal.signal(signal.SIGINT, before)


def keep_what_is_there(trainer: Any, best: BestModel | None) -> None:
    """End a training that was interrupted, with the best network so far where one is kept."""
    refuse_not_finite(trainer)
    trainer.stop = True
    if best is not None:
        best.on_fit_end(trainer)
    warnings.warn("Training interrupted by user.", stacklevel=4)


def hand_on_ctrl_c(trainer: Any) -> None:
    """Raise ``KeyboardInterrupt`` if a part of a training was interrupted.

    Whoever calls ``partial_fit`` in a loop wants to end the loop; the network can be used all the
    same, and trained on.
    """
    if trainer.halted:
        trainer.interrupted, trainer.position = False, 0
        raise KeyboardInterrupt
