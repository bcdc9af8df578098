"""The rules of the house: which way imports point, what docstrings say, what is never called."""

import ast
import inspect
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
FILES = sorted(
    p
    for folder in ("sparsecpu", "layers", "datasets", "bench")
    for p in (ROOT / folder).rglob("*.py")
)
#: Floors; a module imports from floors below its own, and from its own package.
FLOORS = [
    {"errors", "cpu"},
    {"naming"},
    {"kernels", "blocks", "streaming", "strips"},
    {"csr"},
    {
        "parameters",
        "workspace",
        "planes",
        "taps",
        "schedules",
        "losses",
        "batches",
        "rounding",
        "augmentation",
        "scaling",
        "spectrum",
    },
    {"densities", "initializers", "patterns", "optimizers", "topology", "layers", "datasets"},
    {"sharing"},
    {"trainer", "callbacks", "architecture"},
    {
        "models",
        "isoflop",
        "checkpoint",
        "distributed",
        "interop",
        "plots",
        "scoring",
        "tracking",
        "foresight",
        "memory",
    },
    {"plots_of_runs", "transfer"},
    {"recipes", "estimators", "bench"},
    {"comparison"},
    {"cli", "__main__"},
]
FLOOR = {name: number for number, names in enumerate(FLOORS) for name in names}
#: Sideways arrows that are meant: on one floor, from -> to.
SIDEWAYS = {
    ("blocks", "kernels"),
    ("parameters", "workspace"), ("losses", "workspace"), ("batches", "workspace"),
    ("planes", "workspace"),
    ("initializers", "densities"), ("layers", "initializers"), ("layers", "densities"),
    ("layers", "patterns"),
    ("interop", "checkpoint"),
    ("trainer", "callbacks"), ("__main__", "cli"), ("bench", "recipes"),
}  # fmt: skip


def room(path):
    parts = path.relative_to(ROOT).with_suffix("").parts
    return parts[0] if parts[0] != "sparsecpu" else parts[1]


def imports(path):
    """Names of our rooms that a file imports at run time."""
    tree = ast.parse(path.read_text())
    skipped = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test):
            skipped |= {id(inner) for inner in ast.walk(node)}
    for node in ast.walk(tree):
        if id(node) in skipped:
            continue
        if isinstance(node, ast.ImportFrom) and node.module and node.level == 0:
            parts = node.module.split(".")
            if parts[0] == "sparsecpu":
                yield from parts[1:2] or [a.name for a in node.names]
        elif isinstance(node, ast.Import):
            for alias in node.names:
                if alias.name.startswith("sparsecpu."):
                    yield alias.name.split(".")[1]


@pytest.mark.parametrize("path", FILES, ids=lambda p: str(p.relative_to(ROOT)))
def test_arrows_point_down(path):
    here = room(path)
    if here == "__init__":
        return
    assert here in FLOOR, f"{here} stands on no floor"
    for there in set(imports(path)) - {here, "__version__"}:
        allowed = FLOOR[there] < FLOOR[here] or (here, there) in SIDEWAYS
        assert allowed, f"{here} imports {there}"
        if there == "bench":
            assert here in ("cli", "bench")
        if here == "datasets":
            assert there == "errors"


@pytest.mark.parametrize("path", FILES, ids=lambda p: str(p.relative_to(ROOT)))
def test_nothing_is_ever_made_dense(path):
    text = path.read_text()
    assert not re.search(r"\.(toarray|todense)\(", text)
    assert "allow_pickle=True" not in text
    assert not re.search(r"np\.random\.(seed|rand|randn|randint|choice|shuffle)\b", text)
    assert not re.search(r"\b(import pickle|from pickle)\b", text)


@pytest.mark.parametrize("path", FILES, ids=lambda p: str(p.relative_to(ROOT)))
def test_one_decorator_compiles_kernels(path):
    if path.name != "compile.py":
        assert not re.search(r"\b(njit|jit)\b", path.read_text())


def public_functions():
    for path in FILES:
        tree = ast.parse(path.read_text())
        if "kernels" in path.parts and path.name != "compile.py":
            continue
        for node in ast.walk(tree):
            if isinstance(node, ast.ClassDef) and not node.name.startswith("_"):
                for inner in node.body:
                    if isinstance(inner, ast.FunctionDef) and not inner.name.startswith("_"):
                        yield path, f"{node.name}.{inner.name}", inner
        for node in tree.body:
            if isinstance(node, ast.FunctionDef) and not node.name.startswith("_"):
                yield path, node.name, node


def test_docstrings_name_every_argument():
    wrong = []
    for path, name, node in public_functions():
        if any("click" in ast.unparse(d) or ".command" in ast.unparse(d)
               for d in node.decorator_list):  # fmt: skip
            continue
        line = path.read_text().splitlines()[node.lineno - 1 : node.body[0].lineno]
        if any("noqa: D102" in text for text in line):
            continue
        doc = ast.get_docstring(node)
        if doc is None:
            wrong.append(f"{path.name} {name}: no docstring")
            continue
        protocol = "\n" not in doc and path.name == "trainer.py"
        args = [
            a.arg for a in node.args.args + node.args.kwonlyargs if a.arg not in ("self", "cls")
        ]
        section = doc.partition("Parameters\n----------\n")[2].partition("\n\n")[0]
        documented = set(
            re.findall(
                r"\w+",
                " ".join(
                    row.partition(" : ")[0]
                    for row in section.splitlines()
                    if not row.startswith(" ")
                ),
            )
        )
        missing = [] if protocol else [a for a in args if a not in documented]
        if missing:
            wrong.append(f"{path.name} {name}: {missing}")
    assert not wrong, "\n".join(wrong)


def test_classes_name_every_argument():
    import importlib

    wrong = []
    for path in FILES:
        if "kernels" in path.parts or path.name == "__main__.py":
            continue
        parts = path.relative_to(ROOT).with_suffix("").parts
        parts = parts if parts[0] == "sparsecpu" else ("sparsecpu", *parts)
        module = importlib.import_module(".".join(parts).removesuffix(".__init__"))
        for name, found in vars(module).items():
            own = inspect.isclass(found) and found.__module__ == module.__name__
            if (
                not own
                or name.startswith("_")
                or getattr(found, "_is_protocol", False)
                or "__init__" not in vars(found)
            ):
                continue
            doc = inspect.getdoc(found) or ""
            args = [a for a in inspect.signature(found).parameters if a not in ("args", "options")]
            missing = [a for a in args if not re.search(rf"\b{a}\b", doc)]
            if missing:
                wrong.append(f"{path.name} {name}: {missing}")
    assert not wrong, "\n".join(wrong)


def test_version_is_said_once():
    import sparsecpu

    assert sparsecpu.__version__ in (ROOT / "CITATION.cff").read_text()
    assert f"## {sparsecpu.__version__}" in (ROOT / "CHANGELOG.md").read_text()
