"""How a part of kernels is compiled: to code that its callers optimise, and to nothing else.

Numba optimises every function by itself and makes machine code of it, and then optimises it again
inside each function that calls it. Nobody runs the machine code of a part, so that a convolution
spent a third of LLVM's time on it. What is replaced here is private to Numba; where a version lacks
it, parts are compiled as all others are.
"""

from __future__ import annotations

from typing import Any

from numba.core import compiler_machinery
from numba.core.codegen import JITCodeLibrary
from numba.core.compiler import CompilerBase, DefaultPassBuilder
from numba.core.typed_passes import NoPythonBackend


class PartLibrary(JITCodeLibrary):
    """Code of a part: what it calls is linked in, and no machine code is made."""

    def _optimize_functions(self, ll_module: Any) -> None:
        """Leave that to what follows."""

    def _optimize_final_module(self) -> None:
        """Simplify it, but leave loops alone: callers make vectors of them, once they are in."""
        passes, builder = self._codegen._module_pass_manager(
            opt=1, loop_vectorize=False, slp_vectorize=False
        )
        passes.run(self._final_module, builder)

    def _finalize_final_module(self) -> None:
        self._finalize_dynamic_globals()
        self._finalized = True


@compiler_machinery.register_pass(mutates_CFG=False, analysis_only=False)
class _Register(compiler_machinery.LoweringPass):
    """Let callers find a part that has no machine code."""

    _name = "sparsecpu_register_part"

    def __init__(self) -> None:
        super().__init__()

    def run_pass(self, state: Any) -> bool:
        name: Any = [].append  # Numba wants a built-in function, another one for each form
        state.cr = state.cr._replace(entry_point=name)
        state.targetctx.insert_user_function(name, state.cr.fndesc, [state.library])
        return True


class PartCompiler(CompilerBase):
    """Numba's own steps, for a part."""

    def define_pipelines(self) -> list[Any]:
        """Return Numba's passes, and what makes a part of their result."""
        state = self.state
        state.flags.no_compile = True
        state.library = PartLibrary(state.targetctx.codegen(), state.func_id.func_qualname)
        passes = DefaultPassBuilder.define_nopython_pipeline(state)
        passes.add_pass_after(_Register, NoPythonBackend)
        passes.finalize()
        return [passes]
