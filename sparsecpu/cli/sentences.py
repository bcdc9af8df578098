"""What a command does, in a sentence, read from its file without importing it."""

from __future__ import annotations

import ast
from pathlib import Path

from sparsecpu.cli.grouped_help import Command


def sentence_of(module: str, function: str) -> str:
    """Return the sentence with which a command's help begins; its function is in ``module``."""
    source = Path(__file__).with_name(f"{module}.py").read_text(encoding="utf-8")
    for node in ast.parse(source).body:
        if isinstance(node, ast.FunctionDef) and node.name == function:
            return Command(function, help=ast.get_docstring(node)).get_short_help_str()
    raise LookupError(f"sparsecpu.cli.{module} has no function {function}")
