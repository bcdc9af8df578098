"""The rules of the house: which way imports point, what docstrings say, what is never called."""

import ast
import importlib
import inspect
import re
from graphlib import TopologicalSorter
from pathlib import Path
from typing import Protocol

import pytest

ROOT = Path(__file__).parents[2]
FILES = sorted(
    p
    for folder in ("sparsecpu", "layers", "datasets", "bench")
    for p in (ROOT / folder).rglob("*.py")
)
#: Rooms stand on floors: a room imports from its own files and from floors below.
FLOORS = [
    "errors",
    "registries reading",
    "kernels",
    "sparse",
    "step schedules",
    "losses optimizers topology callbacks",
    "layers datasets",
    "trainer",
    "networks",
    "training",
    "files",
    "models isoflop interop",
    "experiments",
    "estimators",
    "bench",
    "cli",
    "__main__",
]
FLOOR = {room: number for number, rooms in enumerate(FLOORS) for room in rooms.split()}


def room(path):
    parts = path.relative_to(ROOT).with_suffix("").parts
    return parts[0] if parts[0] != "sparsecpu" else parts[1]


def imports(path):
    """Names of the rooms that a file imports, wherever in the file."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] == "sparsecpu":
            yield from node.module.split(".")[1:2] or [alias.name for alias in node.names]
        elif isinstance(node, ast.Import):
            yield from (a.name.split(".")[1] for a in node.names if a.name.startswith("sparsecpu."))


@pytest.mark.parametrize("path", FILES, ids=lambda p: str(p.relative_to(ROOT)))
def test_rooms_stand_on_floors(path):
    here = room(path)
    if here == "__init__":  # hands on public names, when they are asked for
        return
    assert here in FLOOR, f"{here} stands on no floor"
    for there in set(imports(path)) - {here, "__version__"}:
        assert FLOOR[there] < FLOOR[here], there


def module_of(path):
    parts = path.relative_to(ROOT).with_suffix("").parts
    parts = parts if parts[0] == "sparsecpu" else ("sparsecpu", *parts)
    return ".".join(parts).removesuffix(".__init__")


def test_imports_make_no_circle():
    """Those at the top of a file, that is; one inside a function waits until it is called."""
    known = {module_of(path): path for path in FILES}
    graph = {}
    for module, path in known.items():
        found = set()
        for node in ast.parse(path.read_text()).body:
            if isinstance(node, ast.ImportFrom):
                names = [f"{node.module}.{alias.name}" for alias in node.names]
                found |= {name if name in known else node.module for name in names}
        graph[module] = found & known.keys()
    list(TopologicalSorter(graph).static_order())  # or a CycleError, which names the circle


def test_only_what_users_import_stands_outside_of_the_rooms():
    loose = {path.stem for path in (ROOT / "sparsecpu").glob("*.py")}
    assert loose <= {*PUBLIC, "__init__", "__main__"}


@pytest.mark.parametrize("path", FILES, ids=lambda p: str(p.relative_to(ROOT)))
def test_nothing_is_ever_made_dense(path):
    """A cheap search beside tests/house/test_always_sparse.py, which traces allocations."""
    text = path.read_text()
    assert not re.search(r"\.(toarray|todense)\(", text)
    assert "allow_pickle=True" not in text
    assert not re.search(r"np\.random\.(seed|rand|randn|randint|choice|shuffle)\b", text)
    assert not re.search(r"\b(import pickle|from pickle)\b", text)


def test_no_test_imports_another():
    """What several tests share stands in plain modules beside the rooms, or in conftest.py."""
    wrong = [
        f"{path.name}: {line}"
        for path in sorted((ROOT / "tests").rglob("*.py"))
        for line in re.findall(r"^\s*(?:from|import) .*\btest_\w+.*", path.read_text(), re.M)
    ]
    assert not wrong


def test_files_are_short():
    """A file is a room: whoever comes in sees what it is for. Tables of cases may be longer."""
    ours = {path: 300 for path in FILES}
    tests = {path: 320 for path in (ROOT / "tests").rglob("*.py")}
    found = {path: len(path.read_text().splitlines()) for path in ours | tests}
    assert not {str(path): n for path, n in found.items() if n > (ours | tests)[path]}


def test_twins_of_the_kernels_import_nothing_of_ours():
    """Else a fault could stand on both sides of a comparison."""
    twins = sorted((ROOT / "tests" / "naive").glob("*.py"))
    found = {path.name: set(imports(path)) for path in twins}
    assert twins
    assert not any(found.values()), found


@pytest.mark.parametrize("path", FILES, ids=lambda p: str(p.relative_to(ROOT)))
def test_one_decorator_compiles_kernels(path):
    """It stands in ``kernels.machine``, in three files: what to compile, how, and for whom."""
    if path.parent.name != "machine" or path.name not in ("compile.py", "jitted.py", "team.py"):
        assert not re.search(r"\b(njit|jit)\b", path.read_text())


#: Where users import from; what stands there says what every argument is.
PUBLIC = [
    "sparsecpu",
    "errors",
    "losses",
    "optimizers",
    "schedules",
    "callbacks",
    "trainer",
    "layers",
    "datasets",
    "topology",
    "models",
    "isoflop",
    "interop",
    "estimators",
]


def modules():
    for path in FILES:
        if path.name != "__main__.py":
            yield importlib.import_module(module_of(path))


def public_things():
    """Yield what users import, with its name."""
    for short in PUBLIC:
        module = importlib.import_module(
            "sparsecpu" if short == "sparsecpu" else f"sparsecpu.{short}"
        )
        own = [
            n for n, v in vars(module).items() if getattr(v, "__module__", "") == module.__name__
        ]
        for name in getattr(module, "__all__", own):
            found = getattr(module, name)
            if not name.startswith("_") and (inspect.isclass(found) or inspect.isfunction(found)):
                yield f"{short}.{name}", found


def unnamed(function, doc, but=()):
    """Return the arguments that a docstring does not name."""
    known = inspect.signature(function).parameters
    skipped = {"self", "cls", "args", "options", "context", *but}
    return [a for a in known if a not in skipped and not re.search(rf"\b{a}\b", doc or "")]


def test_what_users_call_names_every_argument():
    wrong = []
    for name, thing in public_things():
        if issubclass(thing if inspect.isclass(thing) else int, BaseException | Protocol):
            continue
        if missing := unnamed(thing, inspect.getdoc(thing)):
            wrong.append(f"{name}: {missing}")
        for method, found in vars(thing).items() if inspect.isclass(thing) else ():
            found = getattr(found, "__func__", found)
            if method.startswith("_") or not inspect.isfunction(found) or not found.__doc__:
                continue  # without words of its own, it inherits them
            if missing := unnamed(found, found.__doc__):
                wrong.append(f"{name}.{method}: {missing}")
    assert not wrong, "\n".join(wrong)


def test_every_method_is_documented_once():
    """A method has a docstring, or overrides one that has; an override does not say it again."""
    wrong = []
    for module in modules():
        for name, cls in vars(module).items():
            if not inspect.isclass(cls) or cls.__module__ != module.__name__ or name[0] == "_":
                continue
            for method in vars(cls):
                found = getattr(cls, method)
                described = callable(found) or isinstance(found, property)
                if method[0] != "_" and described and not inspect.getdoc(found):
                    wrong.append(f"{module.__name__}.{name}.{method}")
    assert not wrong, "\n".join(wrong)


def test_version_is_said_once():
    import sparsecpu

    assert sparsecpu.__version__ in (ROOT / "CITATION.cff").read_text()
    assert f"## {sparsecpu.__version__}" in (ROOT / "CHANGELOG.md").read_text()
