"""Show our own code on a page, found by name, so that it follows wherever the code moves.

``{ours} sparsecpu.topology.RigL`` shows the methods that the class itself defines, without their
docstrings; ``{test} test_name`` shows a test, wherever in ``tests/`` it stands. A name that is not
there breaks the build.
"""

import ast
import importlib
import inspect
import textwrap
from pathlib import Path
from typing import ClassVar

from docutils import nodes
from docutils.parsers.rst import directives
from sphinx.util.docutils import SphinxDirective
from sphinx.util.logging import getLogger

log = getLogger(__name__)
TESTS = Path(__file__).parents[2] / "tests"
#: Methods that say nothing of an algorithm.
DULL = {"__init__", "start", "state", "load_state"}


def without_docstring(source: str) -> str:
    """Return a function's source without its docstring."""
    source = textwrap.dedent(source)
    function = ast.parse(source).body[0]
    first = function.body[0]
    if not (isinstance(first, ast.Expr) and isinstance(first.value, ast.Constant)):
        return source.rstrip()
    lines = source.splitlines()
    del lines[first.lineno - 1 : first.end_lineno]
    return "\n".join(line for n, line in enumerate(lines) if line or n != first.lineno - 1)


class Shown(SphinxDirective):
    """Source with a line above that says where it stands."""

    required_arguments = 1

    def block(self, code: str, path: Path) -> list[nodes.Node]:
        """Return the source, and where it is from."""
        self.env.note_dependency(str(path))
        shown = nodes.literal_block(code, code, classes=[f"shown-{self.name}"])
        shown["language"] = "python"
        where = path.relative_to(TESTS.parent).as_posix()
        caption = nodes.paragraph("", "", nodes.literal("", where), classes=["from-file"])
        return [caption, shown]


class Ours(Shown):
    """Methods of a class."""

    option_spec: ClassVar = {"only": directives.unchanged}

    def run(self) -> list[nodes.Node]:
        """Return the methods named by ``only``; if the class has none of them, all it defines."""
        module, _, name = self.arguments[0].rpartition(".")
        found = getattr(importlib.import_module(module), name)
        if inspect.isclass(found):
            only = [n for n in self.options.get("only", "").split() if n in vars(found)]
            names = only or [
                n for n, v in vars(found).items() if inspect.isfunction(v) and n not in DULL
            ]
            things = [vars(found)[n] for n in names]
        else:
            things = [found]
        code = "\n\n".join(without_docstring(inspect.getsource(thing)) for thing in things)
        return self.block(code, Path(inspect.getsourcefile(found)))


class Test(Shown):
    """A test function."""

    def run(self) -> list[nodes.Node]:
        """Return the test of that name."""
        name = self.arguments[0]
        for path in sorted(TESTS.rglob("test_*.py")):
            text = path.read_text()
            if f"def {name}(" in text:
                for node in ast.parse(text).body:
                    if isinstance(node, ast.FunctionDef) and node.name == name:
                        first = min([node, *node.decorator_list], key=lambda n: n.lineno)
                        lines = text.splitlines()[first.lineno - 1 : node.end_lineno]
                        return self.block("\n".join(lines), path)
        log.warning("there is no test %s in tests/", name, location=self.env.docname)
        return []


def setup(app) -> dict:
    """Register both."""
    app.add_directive("ours", Ours)
    app.add_directive("test", Test)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
