"""Prints a checksum of the weights of many small runs, to compare two states of the code.

Run it in two checkouts on one machine and compare what it prints::

    python tests/record_runs.py > after.txt && diff before.txt after.txt

With words behind it, it does only the runs that have one of them in their command line.

Results are bit for bit on one kind of CPU with the same versions only, so none are kept here.
"""

import hashlib
import subprocess
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np

MLP = "digits --model 60,40 --epochs 4 --density 0.2"
SHAPES = "make:shapes --samples 192 --batch-size 32 --density 0.3"
CNN = f"{SHAPES} --model vgg-like --width 0.0625 --epochs 3"
TOPOLOGIES = (
    "sparse-momentum", "rigl", "gse", "set", "dsr", "deep-r", "static", "gradual:density=0.1",
)  # fmt: skip
#: Command lines of ``sparsecpu train``.
RUNS = [
    *(f"{data} --topology {name}" for data in (MLP, CNN) for name in TOPOLOGIES),
    f"{MLP} --threads 2",
    f"{CNN} --threads 2",
    f"{MLP} --optimizer adam --learning-rate 0.005",
    f"{MLP} --optimizer adam --learning-rate 0.005 --topology rigl",
    f"{MLP} --topology sparse-momentum:source=tiles --update-every 40",
    f"{MLP} --topology sparse-momentum:source=window",
    f"{MLP} --topology sparse-momentum:source=lowrank",
    f"{MLP} --topology sparse-momentum:source=candidates,proposal=lowrank",
    f"{MLP} --topology sparse-momentum:growth=momentum-neuron,source=window",
    f"{MLP} --topology sparse-momentum:growth=random,pruning=global",
    f"{MLP} --topology sparse-momentum:redistribution=nonzero,grown_momentum=zero",
    f"{MLP} --topology sparse-momentum:redistribution=none",
    f"{MLP} --topology gse:distribution=grabo,subset=2",
    f"{MLP} --topology gse:distribution=graest,scope=global",
    f"{CNN} --topology gse:distribution=grabo,subset=2",
    f"{CNN} --topology gse:distribution=graest",
    f"{CNN} --topology sparse-momentum:source=tiles",
    f"{MLP} --topology set:variant=paper,revive=true",
    f"{MLP} --topology gse --lean",
    f"{MLP} --topology static --lean",
    f"{MLP} --pattern small-world",
    f"{MLP} --pattern constant-fan-in --distribution er",
    f"{MLP} --pattern snip --distribution uniform",
    f"{MLP} --pattern synflow --schedule one-cycle",
    f"{MLP} --density 1 --topology static",
    "digits --model 600,200 --density 0.05 --epochs 2 --precision bf16 --batch-size 128",
    "digits --model 600,200 --density 0.05 --epochs 2 --precision fp16 --batch-size 128",
    "digits --model 300,200 --density 1 --epochs 1 --topology static --batch-size 128",
    f"{CNN} --precision bf16",
    f"{CNN} --precision fp16",
    f"{CNN} --augment crop-flip",
    f"{CNN} --augment affine",
    f"{CNN} --density 1 --topology static",
    f"{SHAPES} --model wrn-10-1 --epochs 2",
    f"{SHAPES} --model resnet-8:stem_stride=2 --epochs 2",
    f"{SHAPES} --model resnet-18 --width 0.0625 --epochs 2 --topology rigl",
    f"{SHAPES} --samples 128 --model alexnet-s --width 0.0625 --epochs 2",
    f"{SHAPES} --samples 128 --model lenet-5-caffe --width 0.5 --epochs 2",
    f"{SHAPES} --samples 96 --model vgg-c --width 0.05 --epochs 1 --topology rigl",
    f"{SHAPES} --samples 112 --model wrn-10-1:dropout=0.3 --epochs 1 --topology set",
    *(f"digits --model 40,30 --epochs 2 --ift {kind} --topology rigl"
      for kind in ("wide", "parallel", "factorized", "doped")),
    f"{SHAPES} --model vgg-like --width 0.05 --epochs 1 --ift parallel --topology set",
    "make:wide --neurons 4000 --samples 96",
    "make:wide --neurons 4000 --samples 96 --lean",
    "diabetes --model 30,20 --epochs 3",
    "breast-cancer --model 30,20 --epochs 3 --layer-rates head=2,0=0.5 --weight-decay 0.01",
]  # fmt: skip


def run(command: str) -> str:
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder, "run")
        words = [sys.executable, "-m", "sparsecpu", "train", *command.split(), "--out", str(out),
                 "--quiet", "--no-dense-timing"]  # fmt: skip
        if "--threads" not in command:
            words += ["--threads", "1"]
        done = subprocess.run(words, capture_output=True, text=True)
        if done.returncode:
            return f"{'exit ' + str(done.returncode):<24}{command}: {done.stderr.strip()[-200:]}"
        return f"{mark(out / 'model.npz')} {mark(out / 'checkpoint.npz')}   {command}"


def mark(path: Path) -> str:
    """Return a checksum of a file's arrays; what stands in its header beside them may change."""
    digest = hashlib.sha256()
    with np.load(path) as arrays:
        for name in sorted(set(arrays.files) - {"header"}):
            digest.update(f"{name} {arrays[name].dtype.str} {arrays[name].shape}".encode())
            digest.update(arrays[name].tobytes())
    return digest.hexdigest()[:10]


if __name__ == "__main__":
    words = sys.argv[1:]
    chosen = [c for c in RUNS if not words or any(word in c for word in words)]
    with ThreadPoolExecutor(2) as pool:
        for line in pool.map(run, chosen):
            sys.stdout.write(f"{line}\n")
            sys.stdout.flush()
