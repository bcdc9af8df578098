"""Kernels whose loops are shared between Numba's threads, each compiled once.

Numba compiles a ``prange`` loop for every kernel that has one, with two functions around it, and a
second time without threads. Here a kernel is compiled once, as what one thread of a team does:
``share`` says which numbers of a loop are its own. One parallel loop, the same for all kernels,
starts it on every thread of the team by its address, with the address of its arguments.
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable
from typing import Any

import numba
from llvmlite import ir
from numba import prange, types
from numba.core import cgutils
from numba.core.extending import intrinsic

from sparsecpu.kernels.machine import threads
from sparsecpu.kernels.machine.jitted import PART_OPTIONS, address_of, kept

#: What the first argument of a shared kernel is: a thread's number, how many there are, the stage.
TEAM = types.UniTuple(types.int64, 3)
_NUMBER, _POINTER = ir.IntType(64), ir.IntType(8).as_pointer()
#: What is called on each thread: with its number, how many there are, the stage, the arguments.
_PART_OF_WORK = ir.FunctionType(ir.VoidType(), [_NUMBER, _NUMBER, _NUMBER, _POINTER])


@numba.njit(**PART_OPTIONS, forceinline=True)
def share(team, count):
    """Return which of ``count`` numbers are those of a thread: neighbours, all in order."""
    return range(team[0] * count // team[1], (team[0] + 1) * count // team[1])


@numba.njit(**PART_OPTIONS, forceinline=True)
def stage(team):
    """Return the stage of a kernel that has several: no thread begins one before all are there."""
    return team[2]


@intrinsic
def _call(typing_context, work, number, count, stage, arguments):
    """Call what is at the address ``work`` for one thread."""

    def generate(context, builder, signature, values):
        function = builder.inttoptr(values[0], _PART_OF_WORK.as_pointer())
        where = builder.inttoptr(values[4], _POINTER)
        builder.call(function, [*values[1:4], where])
        return context.get_dummy_value()

    return types.void(*[types.int64] * 5), generate


def _start(count, work, stage, arguments):
    """Call ``work`` for every thread of a team, each on its own."""
    for number in prange(count):
        _call(work, number, count, stage, arguments)


_start = kept(_start, {"nogil": True, "parallel": True, "no_cfunc_wrapper": True})


@functools.cache
def _start_address() -> int:
    threads.launch()
    return address_of(_start, (types.int64,) * 4)


@intrinsic
def _together(typing_context, kernel, threads, start, arguments):
    """Run a kernel on some threads, stage by stage; ``start`` is the address of ``_start``."""
    form = kernel.get_call_type(typing_context, (TEAM, *arguments), {})
    signature = types.void(kernel, types.int64, types.int64, arguments)

    def generate(context, builder, signature, values):
        fields = cgutils.unpack_tuple(builder, values[3])
        record = cgutils.alloca_once(
            builder, ir.LiteralStructType([field.type for field in fields])
        )
        for place, field in enumerate(fields):
            builder.store(field, cgutils.gep_inbounds(builder, record, 0, place))
        work = _part_of_work(context, builder.module, kernel.dispatcher, form, record.type)
        where = builder.bitcast(record, _POINTER)
        alone = builder.icmp_signed("<=", values[1], _NUMBER(1))
        for number in range(kernel.dispatcher.stages):
            with builder.if_else(alone) as (one, several):
                with one:
                    builder.call(work, [_NUMBER(0), _NUMBER(1), _NUMBER(number), where])
                with several:
                    kinds = (types.int64,) * 4
                    pointer = context.call_conv.get_function_type(types.none, kinds).as_pointer()
                    numbers = [
                        values[1],
                        builder.ptrtoint(work, _NUMBER),
                        _NUMBER(number),
                        builder.ptrtoint(where, _NUMBER),
                    ]
                    context.call_conv.call_function(
                        builder, builder.inttoptr(values[2], pointer), types.none, kinds, numbers
                    )
        return context.get_dummy_value()

    return signature, generate


def _part_of_work(context, module, kernel, form, record):
    """Return a function that runs a kernel with the arguments that a record holds."""
    compiled = kernel.overloads[form.args]
    context.active_code_library.add_linking_library(compiled.library)
    called = context.declare_function(module, compiled.fndesc)
    work = ir.Function(module, _PART_OF_WORK, module.get_unique_name("part_of_work"))
    work.linkage = "internal"
    builder = ir.IRBuilder(work.append_basic_block())
    *team, where = work.args
    where = builder.bitcast(where, record)
    fields = [
        builder.load(cgutils.gep_inbounds(builder, where, 0, place))
        for place in range(len(record.pointee.elements))
    ]
    first = len(form.args) - 2  # the last argument may stand for several
    if len(fields) > first + 1 or isinstance(form.args[-1], types.BaseTuple):
        fields[first:] = [context.make_tuple(builder, form.args[-1], fields[first:])]
    numbers = [context.make_tuple(builder, TEAM, team), *fields]
    context.call_conv.call_function(builder, called, types.none, form.args, numbers)
    builder.ret_void()
    return work


class Parallel:
    """A kernel that a team of threads shares; its first argument says who of the team runs it.

    Python leaves that argument away. There is a form for one thread, which is plain loops with
    nothing to start, and one for several. As sums keep their order, both give the same bits.
    Kernels that reorder sums have the second form only: another might choose another order.
    """

    def __init__(
        self, function: Any, options: dict[str, Any], reorders: bool, stages: int, alone_below: int
    ) -> None:
        part = numba.njit(**{**options, **PART_OPTIONS, "fastmath": options["fastmath"],
                             "forceinline": True})(function)  # fmt: skip
        part.stages, self.alone_below = stages, alone_below
        self.alone = None
        if not reorders:
            call = "kernel(team, {})"
            if stages > 1:  # a constant of its own for each would be a form of its own
                call = f"for stage in range({stages}): kernel((0, 1, stage), {{}})"
            entry = _entry(function, "", call, kernel=part, team=(0, 1, 0))
            self.alone = kept(entry, options, function)
        call = "together(kernel, threads, start, ({},))"
        entry = _entry(function, "threads, start, ", call, kernel=part, together=_together)
        self.together = kept(entry, options, function)
        functools.update_wrapper(self, function)

    def __call__(self, *arguments: Any) -> None:
        """Run it on the current number of threads."""
        team = threads.chosen.threads or threads.available_threads()
        if team == 1 and self.alone is not None:
            self.alone(*arguments)
        elif team == 1 or (self.alone_below and arguments[0].size < self.alone_below):
            self.together(1, 0, *arguments)
        else:
            self.together(team, _start_address(), *arguments)


def _entry(function: Any, first: str, call: str, **names: Any) -> Callable:
    """Return what Python calls of a kernel: a function in its place that makes a call.

    It has as many arguments as the kernel, for Numba reads those of ``*arguments`` slowly, and a
    name of its own: Numba keeps compiled code by file, name and line.
    """
    parameters = list(inspect.signature(function).parameters.values())[1:]
    arguments = ", ".join(map(str, parameters))
    exec(f"def entry({first}{arguments}):\n    {call.format(arguments)}", names)
    entry: Any = names["entry"]
    place = function.__code__
    entry.__code__ = entry.__code__.replace(
        co_filename=place.co_filename, co_firstlineno=place.co_firstlineno, co_name=place.co_name
    )
    entry.__name__ = function.__name__
    entry.__qualname__ = function.__qualname__ + ("_together" if first else "_alone")
    entry.__module__ = function.__module__
    return entry
