"""What is run and ended: small runs of every kind, and how what they leave is compared."""

import csv
import io
import json
import os
import shutil
import sys
from dataclasses import dataclass
from pathlib import Path

OURS = (sys.executable, "-m", "sparsecpu")
MLP = "train digits --model 24,16 --epochs 3 --density 0.3"
IMAGES = (
    "train make:shapes --samples 96 --batch-size 32 --density 0.3 --model vgg-like --width 0.06"
)
QUIET = "--quiet --no-dense-timing --threads 1"
TOPOLOGIES = (
    "sparse-momentum", "sparse-momentum:source=lowrank", "sparse-momentum:source=candidates",
    "sparse-momentum:source=tiles", "rigl", "set", "gse", "dsr", "deep-r", "static",
    "gradual:density=0.1",
)  # fmt: skip


@dataclass(frozen=True)
class Variant:
    """A command; ``again`` goes on with what it left, and is the same command where it is empty.

    ``{out}`` is its folder, ``{model}`` a model file. Runs of ``ranks`` above 1 need MPI.
    """

    name: str
    command: tuple[str, ...]
    again: tuple[str, ...] = ()
    ranks: int = 1

    def words(self, out, model, again):
        """Return the command line."""
        begun = any((Path(out) / name).exists() for name in ("config.json", "checkpoint.npz"))
        words = self.again if again and begun and self.again else self.command
        words = [word.format(out=out, model=model) for word in words]
        if self.ranks > 1:
            launcher = os.path.join(os.path.dirname(sys.executable), "mpiexec")
            return [launcher, "-n", str(self.ranks), *words]
        return words


def run(name, words, ranks=1, **more):
    begin = (*OURS, *words.split(), *QUIET.split(), "--out", "{out}")
    again = (*OURS, "train", "--resume", "{out}", *QUIET.split())
    return Variant(name, begin, again, ranks)


def exported(to, ending):
    return Variant(f"export-{to}", (*OURS, *f"export {{model}} --to {to}".split(),
                                    "--out", "{out}/m" + ending))  # fmt: skip


COMPARE = "compare iris --methods static,set --densities 0.3 --seeds 2 --folds 2 --model 12 --quiet"
VARIANTS = [
    *(run(name.replace("sparse-momentum:source=", "source-").partition(":")[0],
          f"{MLP} --topology {name}") for name in TOPOLOGIES),
    run("lean", f"{MLP} --topology static --lean"),
    run("lean-gse", f"{MLP} --topology gse --lean"),
    run("groups", f"{MLP} --topology static --group 4"),
    run("adam", f"{MLP} --topology rigl --optimizer adam --learning-rate 0.005"),
    run("validated", f"{MLP} --topology set --validation 0.2 --early-stopping 2 --best"),
    run("spectrum", f"{MLP} --topology set --spectrum"),
    run("one-cycle", f"{MLP} --topology set --schedule one-cycle --label-smoothing 0.1"),
    run("bf16", f"{MLP} --topology rigl --precision bf16"),
    run("init", f"{MLP} --topology set --init {{model}}"),
    run("regression", "train diabetes --model 16 --epochs 4 --density 0.4 --topology rigl"),
    run("images", f"{IMAGES} --epochs 2 --topology rigl"),
    run("augmentation", f"{IMAGES} --epochs 2 --topology set --augment crop-flip"),
    Variant("best-model", (sys.executable, str(Path(__file__).parent / "python_run.py"), "{out}")),
    Variant("compare", (*OURS, *COMPARE.split(), "--epochs", "2", "--learning-rates", "0.05",
                        "--out", "{out}")),
    Variant("compare-jobs", (*OURS, *COMPARE.split(), "--epochs", "2", "--learning-rates",
                             "0.02,0.1", "--jobs", "2", "--out", "{out}")),
    Variant("import", (*OURS, "import", "{model}", "--density", "0.2", "--out", "{out}/m.npz")),
    Variant("import-groups", (*OURS, "import", "{model}", "--density", "0.2", "--group", "4",
                              "--out", "{out}/m.npz")),
    exported("safetensors", ".safetensors"), exported("torch", ".pt"), exported("scipy", ""),
    run("ranks", f"{MLP} --topology gse", ranks=2),
]  # fmt: skip


def available():
    """Return the variants that this machine can run, by name."""
    found = {variant.name: variant for variant in VARIANTS}
    if shutil.which("mpiexec", path=os.path.dirname(sys.executable)) is None:
        found.pop("ranks")
    try:
        import torch  # noqa: F401
    except ImportError:
        found.pop("export-torch")
    return found


def outcome(out):
    """Return what a run has left by file name, without what differs from run to run: times."""
    return {
        str(path.relative_to(out)): _content(path) for path in sorted(out.rglob("*"))
        if path.is_file()
    }  # fmt: skip


def _content(path):
    try:
        return _parsed(path)
    except ValueError:  # a find
        return path.read_bytes()


def _parsed(path):
    if path.name in ("history.jsonl", "results.jsonl"):
        records = [json.loads(line) for line in path.read_text().splitlines()]
        for record in records:
            for measured in ("seconds", "compile_seconds"):
                record.pop(measured, None)
        if path.name == "results.jsonl":  # processes end in any order
            records.sort(key=lambda r: (r["seed"], r["fold"], r["method"], r["density"]))
        return records
    if path.name == "comparison.csv":
        rows = list(csv.DictReader(io.StringIO(path.read_text())))
        return [{k: v for k, v in row.items() if k != "seconds"} for row in rows]
    if path.name == "comparison.json":
        found = json.loads(path.read_text())
        for row in found["rows"]:
            del row["seconds"]
        return found["rows"], found["plan"], found["learning_rate"]
    if path.name == "result.json":  # what a run that was ended once has not timed is not there
        found = json.loads(path.read_text())
        return {name: found[name] for name in ("test_accuracy", "test_r2", "nnz") if name in found}
    if path.name == "config.json":  # where the model lies that it began with, differs
        found = json.loads(path.read_text())
        found["recipe"]["init"] = bool(found["recipe"]["init"])
        return found
    return path.read_bytes()
