"""Changes one thing in a module at a time and runs tests; what survives shows a missing test.

Not part of the suite. From the root of the checkout, a module and the tests that are about it::

    python tests/mutants.py sparsecpu/losses/of_samples.py tests/test_losses.py --most 25

The checkout is copied to a temporary folder, where all mutants live and die. Prints what survived.
"""

import ast
import copy
import os
import random
import shutil
import signal
import sys
import tempfile
from pathlib import Path

import click
import hypothesis  # noqa: F401 - loaded once, for all mutants
import numba  # noqa: F401
import pytest
import scipy.stats  # noqa: F401

SWAPS = {
    ast.Lt: ast.LtE, ast.LtE: ast.Lt, ast.Gt: ast.GtE, ast.GtE: ast.Gt, ast.Eq: ast.NotEq,
    ast.NotEq: ast.Eq, ast.Is: ast.IsNot, ast.IsNot: ast.Is, ast.In: ast.NotIn, ast.NotIn: ast.In,
    ast.Add: ast.Sub, ast.Sub: ast.Add, ast.Mult: ast.Div, ast.Div: ast.Mult, ast.BitAnd: ast.BitOr,
    ast.FloorDiv: ast.Mult, ast.And: ast.Or, ast.Or: ast.And, ast.BitOr: ast.BitAnd,
}  # fmt: skip


def variants(node):
    """Yield what may stand in the place of an expression or a statement."""
    if isinstance(node, ast.Compare):
        ops = [SWAPS.get(type(node.ops[0]), type(node.ops[0]))(), *node.ops[1:]]
        yield ast.Compare(node.left, ops, node.comparators)
    elif isinstance(node, ast.BinOp | ast.BoolOp | ast.AugAssign) and type(node.op) in SWAPS:
        changed = copy.copy(node)
        changed.op = SWAPS[type(node.op)]()
        yield changed
        if isinstance(node, ast.BinOp):
            yield node.left  # the other factor or term is lost
    elif isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.Not | ast.USub | ast.Invert):
        yield node.operand
    elif isinstance(node, ast.Constant) and type(node.value) is bool:
        yield ast.Constant(not node.value)
    elif isinstance(node, ast.Constant) and type(node.value) in (int, float):
        yield from (ast.Constant(node.value + by) for by in (1, -1))
    elif isinstance(node, ast.IfExp):
        yield from (node.body, node.orelse)
    elif isinstance(node, ast.Expr) and isinstance(node.value, ast.Call):
        yield ast.Pass()


def mutants(tree):
    """Return (node, what stands in its place), annotations and class-level names left out."""
    found = []
    for function in (n for n in ast.walk(tree) if isinstance(n, ast.FunctionDef)):
        pairs = [(n, v) for part in function.body for n in ast.walk(part) for v in variants(n)]
        defaults = [d for d in (*function.args.defaults, *function.args.kw_defaults) if d]
        found += pairs + [(d, v) for d in defaults for v in variants(d)]
    return list({(id(n), ast.dump(v)): (n, v) for n, v in found}.values())


def replaced(source, node, variant):
    """Return the source with the text of one node replaced."""
    lines = source.encode().splitlines(keepends=True)
    first, last = node.lineno - 1, node.end_lineno - 1
    new = ast.unparse(ast.fix_missing_locations(variant))
    new = new if isinstance(node, ast.stmt) else f"({new})"
    head, tail = lines[first][: node.col_offset], lines[last][node.end_col_offset :]
    return b"".join([*lines[:first], head + new.encode() + tail, *lines[last + 1 :]]).decode()


def passes(tests, root, seconds):
    """Run tests in a copy of this process, which has loaded what takes longest."""
    child = os.fork()
    if child:
        return os.waitpid(child, 0)[1] == 0
    os.chdir(root)
    sys.path.insert(0, str(root))
    os.environ["PYTHONPATH"] = str(root)
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
    signal.alarm(seconds)  # ends the process
    os._exit(pytest.main(["-q", "-x", "-n", "0", "-p", "no:cacheprovider", *tests]))


@click.command()
@click.argument("module", type=click.Path(exists=True, path_type=Path))
@click.argument("tests", nargs=-1, required=True)
@click.option("--most", default=25, help="Mutants that are tried, drawn with a fixed seed.")
@click.option("--seconds", default=300, help="A mutant that takes longer counts as killed.")
def main(module, tests, most, seconds):
    source, root = module.read_text(), Path(tempfile.mkdtemp()) / "checkout"
    shutil.copytree(".", root, symlinks=True, ignore=shutil.ignore_patterns(".git", ".*_cache"))
    if not passes(tests, root, seconds):
        sys.exit("the tests fail as it is")
    chosen = mutants(ast.parse(source))
    chosen = random.Random(0).sample(chosen, min(most, len(chosen)))
    survivors = 0
    for node, variant in sorted(chosen, key=lambda pair: pair[0].lineno):
        (root / module).write_text(replaced(source, node, variant))
        if passes(tests, root, seconds):
            survivors += 1
            click.echo(f"{module}:{node.lineno} {ast.unparse(node)} -> {ast.unparse(variant)}")
    click.echo(f"{module}: {survivors} of {len(chosen)} survive")
    shutil.rmtree(root.parent)


if __name__ == "__main__":
    main()
