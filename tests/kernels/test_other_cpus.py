"""Kernels as a CPU without AVX-512 runs them: other register widths, the same results."""

import os
import subprocess
import sys
from pathlib import Path

import llvmlite.binding as llvm
import pytest

from sparsecpu.kernels.machine import cpu

ROOT = Path(__file__).parents[2]
#: Linear layers and a convolution against plain twins; then, what was compiled.
CODE = """
import naive
import numpy as np
from sparsecpu.kernels.machine import compile, spread, team
from sparsecpu.kernels.machine.cpu import registers, wide_vectors_pay, widest_lanes

compiled, make = [], compile.kept

def watched(*arguments):
    compiled.append(make(*arguments))
    return compiled[-1]

compile.kept = team.kept = watched
from sparsecpu.kernels.machine.threads import use_threads
from sparsecpu.layers import SparseConv2d, SparseLinear, Spec
from sparsecpu.step.context import Context
from sparsecpu.step.workspace import Workspace

assert widest_lanes() == 64 and wide_vectors_pay() and registers() == (16, 32)
rng = np.random.default_rng(0)

def close(found, wanted):
    np.testing.assert_allclose(found, wanted, rtol=0, atol=2e-5 * max(1, np.abs(wanted).max()))

def run(layer, x, dy):
    layer.plan(Spec(x.shape[1:], needs_gradient=True))
    tile, back = ((naive.to_tiles, naive.from_tiles) if x.ndim == 2
                  else (naive.to_planes, naive.from_planes))
    lanes, values = (64, lambda a: a) if x.ndim == 2 else (16, lambda planes: planes.values)
    ctx = Context(Workspace(), train=True, n_valid=len(x))
    y, saved = layer.forward(tile(x, lanes), ctx)
    dx = layer.backward(tile(dy, lanes), saved, ctx)
    p = layer.weight.pattern
    w = naive.dense(p.shape, p.indptr, p.indices, layer.weight.data)
    at = lambda dw: naive.at_nonzeros(dw.reshape(p.shape), p.indptr, p.indices)
    return back(values(y), len(x)), back(values(dx), len(x)), layer.weight.grad, w, at

with use_threads(1):
    x, dy = (rng.standard_normal((70, n)).astype(np.float32) for n in (50, 41))
    for group in (1, 4):
        linear = SparseLinear(50, 41, density=0.3, bias=False, group=group, rng=rng)
        y, dx, grad, w, at = run(linear, x, dy)
        wanted = naive.linear_backward(w, x, dy)
        close(y, x @ w.T), close(dx, wanted[0]), close(grad, at(wanted[1]))
    x, dy = (rng.standard_normal((17, n, 5, 9)).astype(np.float32) for n in (4, 6))
    conv = SparseConv2d(4, 6, 3, padding=1, density=0.5, bias=False, rng=rng)
    y, dx, grad, w, at = run(conv, x, dy)
    w, sizes = w.reshape(6, 4, 3, 3), ((1, 1), (1, 1), 1)
    wanted = naive.conv2d_backward(x, w, dy, *sizes)
    close(y, naive.conv2d(x, w, np.zeros(6), *sizes))
    close(dx, wanted[0]), close(grad, at(wanted[1]))

assembly = [text for k in compiled if k.signatures for text in k.inspect_asm().values()]
names = {k.__name__ for k in compiled if k.signatures}
assert {"matmul", "gradient", "scatter", "work"} <= names, names
assert any("_gradient_row" in text for text in assembly)  # dW in a pass by itself
assert any("ymm" in text for text in assembly)
assert not any("zmm" in text for text in assembly)
"""


def features_without(*families):
    features = llvm.get_host_cpu_features()
    for name in features:
        if name.startswith(families):
            features[name] = False
    return features.flatten()


@pytest.mark.skipif(not llvm.get_host_cpu_features().get("avx2"), reason="needs AVX2")
def test_kernels_without_avx512(tmp_path):
    environment = {
        **os.environ,
        "NUMBA_CACHE_DIR": str(tmp_path),  # of a kernel from the cache there is no assembly to read
        "NUMBA_CPU_NAME": "haswell",  # alone, it would leave the host's features switched on
        "NUMBA_CPU_FEATURES": features_without("avx512", "avx10", "amx"),
        "PYTHONPATH": os.pathsep.join([str(ROOT), str(ROOT / "tests")]),
    }
    done = subprocess.run(
        [sys.executable, "-c", CODE], env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr[-3000:]


@pytest.mark.parametrize(
    ("has", "found"),
    [
        ({"avx512f", "avx2"}, (32, 64)),
        ({"avx2"}, (16, 32)),
        ({"neon"}, (32, 16)),
        (set(), (16, 16)),
    ],
)
def test_registers_of_all_kinds_of_cpus(has, found, monkeypatch):
    monkeypatch.setattr(cpu, "_compiles_for", has.__contains__)
    assert cpu.registers.__wrapped__() == found
