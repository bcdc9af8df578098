"""How every kernel is compiled, and what compiling cost, said once."""

from __future__ import annotations

import contextlib
import gc
import time
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import numba
from numba.core import event, types

from sparsecpu.kernels.machine.jitted import EXACT, PART_OPTIONS, address_of, kept
from sparsecpu.kernels.machine.team import Parallel

#: For kernels that one thread runs: LLVM may add up in the order that it likes.
FASTMATH = EXACT | {"reassoc", "arcp"}
#: Smaller numbers become 0 where more is computed from them: their products end among the subnormal
#: ones, on which arithmetic is many times slower.
TINY = 1e-30


def kernel(
    *, parallel: bool = False, part: bool = False, inlined: bool = False, addressed: bool = False,
    exact: bool = False, reorders: bool = False, stages: int = 1,
    alone_below: int = 0,
) -> Callable[[Callable], Any]:  # fmt: skip
    """Return the decorator that every kernel carries.

    Where no cache directory can be written, a kernel is compiled anew in each process.

    Parameters
    ----------
    parallel : bool
        Run on Numba's threads, where there are several. The function's first argument, which
        callers leave away, is for ``kernels.machine.team.share``; it returns nothing, and neither
        makes an array.
    stages : int
        How often a parallel kernel is run: all threads end ``kernels.machine.team.stage`` 0 before
        one begins 1.
    alone_below : int
        Where the first argument has fewer numbers, the thread that calls a parallel kernel runs it:
        to start others would take longer.
    part : bool
        For what is called from other kernels only, never from Python, and neither makes nor returns
        an array: compile it as a part of these, without a form of its own.
    inlined : bool
        For a part that becomes code of its caller: vectors as wide as a strip, which it takes or
        returns, would go through memory otherwise.
    addressed : bool
        For what ``kernels.machine.spread`` calls: like a part, but with an address.
    exact : bool
        Let sums keep their order, as parts and parallel kernels do.
    reorders : bool
        For a parallel kernel that needs its sums vectorised, in an order that LLVM chooses. It has
        one form only, for one thread too: another might choose another order.
    """
    part = part or inlined
    exact = exact or part or addressed or (parallel and not reorders)
    fastmath = EXACT if exact else FASTMATH
    options: dict[str, Any] = {
        "nogil": True, "fastmath": fastmath, "error_model": "numpy",
        # Numba makes two more functions of each, for callers in C and in Python: without those that
        # nobody calls, a convolution compiles in two thirds of the time.
        "no_cfunc_wrapper": True, "no_cpython_wrapper": addressed,
    }  # fmt: skip
    if addressed:
        options["_nrt"] = False
    if part:
        options = PART_OPTIONS | {"forceinline": inlined}

    def decorate(function: Callable) -> Any:
        if part:
            return numba.njit(**options)(function)
        if parallel:
            return Parallel(function, options, reorders, stages, alone_below)
        return kept(function, options)

    return decorate


class AddressBook:
    """Where the compiled forms of a kernel are, for ``kernels.machine.spread``.

    A kernel that calls another by name has it compiled anew inside itself; one that calls an
    address does not, and serves all kernels that take the same arguments.
    """

    def __init__(self, function: Any) -> None:
        self.function = function
        self._found: dict[Any, int] = {}

    def address(self, key: Any, *arguments: Any) -> int:
        """Return the address of the form for an int64 and these arguments; compile a new one.

        ``key`` tells their types, and is cheaper to look up than these.
        """
        if key not in self._found:
            kinds = (types.int64, *(numba.typeof(argument) for argument in arguments))
            self._found[key] = address_of(self.function, kinds)
        return self._found[key]


class Compiling(NamedTuple):
    """What is told to those who listen: a kernel begins to be compiled.

    ``number`` counts from 1, ``of`` how many there are; None where nobody knows. Where it is known
    beforehand, a first one without a name and with number 0 says about how many ``seconds`` all of
    them will take, and a last one, without a name and with 0 seconds, that they are there.
    """

    name: str
    number: int
    of: int | None = None
    seconds: float | None = None


class CompileClock(event.Listener):
    """Adds up the seconds that Numba spends compiling; nested compilations count once.

    Python's search for garbage rests meanwhile: among all that Numba makes of a kernel, and keeps
    until its end, it would take a quarter of the time.
    """

    def __init__(self) -> None:
        self.seconds = 0.0
        self.on_first: Callable[[], None] | None = None
        self.listeners: list[Callable[[Compiling], Any]] = []
        self._depth = self._number = 0
        self._started = 0.0
        self._collects = False

    @contextlib.contextmanager
    def listening(self, listener: Callable[[Compiling], Any]) -> Iterator[None]:
        """Call ``listener`` inside the ``with`` block whenever a kernel begins to be compiled.

        It runs in the thread that compiles, and should be quick.
        """
        self.listeners.append(listener)
        try:
            yield
        finally:
            self.listeners.remove(listener)

    def tell(self, compiling: Compiling) -> None:
        """Tell all who listen."""
        if self.on_first is not None:
            self.on_first()
            self.on_first = None
        for listener in self.listeners:
            listener(compiling)

    def on_start(self, event: Any) -> None:
        """Note that a compilation begins."""
        if self._depth == 0:
            self._started = time.perf_counter()
            self._number += 1
            self._collects = gc.isenabled()
            gc.disable()
            function = event.data["dispatcher"].py_func
            self.tell(Compiling(name_of(function), self._number))
        self._depth += 1

    def on_end(self, event: Any) -> None:
        """Note that a compilation ends."""
        self._depth -= 1
        if self._depth == 0:
            self.seconds += time.perf_counter() - self._started
            if self._collects:
                gc.enable()


def name_of(function: Any) -> str:
    """Return what a kernel is called: its file, and the function that makes it or is it."""
    name = function.__qualname__.partition(".")[0].strip("_")
    for ending in ("_alone", "_together", "_kernel"):
        name = name.removesuffix(ending)
    return f"{function.__module__.rpartition('.')[2]}.{name}"


compile_clock = CompileClock()
event.register("numba:compile", compile_clock)
