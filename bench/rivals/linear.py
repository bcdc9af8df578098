"""One linear layer in other libraries.

Inputs lie ready in the order that each library likes best; transposing them is not timed.
"""

from __future__ import annotations

import glob
import os
import sys
import warnings
from collections.abc import Callable
from typing import Any, ClassVar

import numpy as np

from sparsecpu.bench.rivals.base import SPARSELAB, SPARSEPROP, Rival

Parts = dict[str, Callable[[], object]]


class LinearRival(Rival):
    """A layer with the weights of ours (a CSR matrix; dense ones use its shape) and one batch."""

    dense: ClassVar[bool] = False
    #: True if its time does not depend on the sparsity, so that it is timed only once.
    once: ClassVar[bool] = False

    def __init__(self, weight: Any, batch: int, threads: int) -> None:
        rng = np.random.default_rng(0)
        self.weight, self.batch, self.threads = weight, batch, threads
        n_out, n_in = weight.shape
        self.x = rng.standard_normal((n_in, batch), dtype=np.float32)
        self.dy = rng.standard_normal((n_out, batch), dtype=np.float32)
        self.setup()

    def setup(self) -> None:
        """Prepare what is not timed."""

    def parts(self) -> Parts:
        """Return what is timed: ``forward``, ``dx``, ``dw``, or ``dx+dw`` for both at once."""
        raise NotImplementedError


class DenseNumPy(LinearRival):
    """NumPy's BLAS on dense matrices, samples as columns."""

    name, dense, once = "dense NumPy", True, True

    def setup(self) -> None:
        self.w = np.random.default_rng(1).standard_normal(self.weight.shape, dtype=np.float32)
        self.outs = [np.empty_like(self.dy), np.empty_like(self.x), np.empty_like(self.w)]

    def parts(self) -> Parts:
        y, dx, dw = self.outs
        return {
            "forward": lambda: np.matmul(self.w, self.x, out=y),
            "dx": lambda: np.matmul(self.w.T, self.dy, out=dx),
            "dw": lambda: np.matmul(self.dy, self.x.T, out=dw),
        }


class SciPy(LinearRival):
    """``scipy.sparse`` CSR times dense, forward only (single-threaded)."""

    name = "SciPy"

    def parts(self) -> Parts:
        return {"forward": lambda: self.weight @ self.x}


class DenseTorch(LinearRival):
    """PyTorch's dense linear layer; samples are rows."""

    name, needs, dense, once = "dense PyTorch", "torch", True, True

    def setup(self) -> None:
        import torch

        torch.set_num_threads(self.threads)
        self.torch = torch
        self.w = torch.randn(*self.weight.shape, generator=torch.Generator().manual_seed(1))
        self.xr = torch.from_numpy(np.ascontiguousarray(self.x.T))
        self.dyr = torch.from_numpy(np.ascontiguousarray(self.dy.T))

    def parts(self) -> Parts:
        linear, mm = self.torch.nn.functional.linear, self.torch.mm
        return {
            "forward": lambda: linear(self.xr, self.w),
            "dx": lambda: mm(self.dyr, self.w),
            "dw": lambda: mm(self.dyr.t(), self.xr),
        }


class OneDNN(DenseTorch):
    """The same products through oneDNN, which PyTorch has but does not use by default."""

    name = "dense oneDNN"

    def parts(self) -> Parts:
        product = self.torch.ops.mkldnn._linear_pointwise
        turned, xt, dyt = self.w.t(), self.xr.t(), self.dyr.t()
        return {
            "forward": lambda: product(self.xr, self.w, None, "none", [], ""),
            "dx": lambda: product(self.dyr, turned, None, "none", [], ""),
            "dw": lambda: product(dyt, xt, None, "none", [], ""),
        }


class BFloat16Torch(DenseTorch):
    """The same products in bfloat16, with float32 sums; all operands lie ready in 16 bits."""

    name, precision = "dense PyTorch bf16", "bf16"

    def setup(self) -> None:
        super().setup()
        kind = self.torch.bfloat16
        self.w, self.xr, self.dyr = (t.to(kind) for t in (self.w, self.xr, self.dyr))


class MaskedTorch(DenseTorch):
    """PyTorch as sparse training is usually simulated: dense products, weights times a mask."""

    name, dense = "masked PyTorch", False

    def setup(self) -> None:
        super().setup()
        self.mask = self.torch.zeros(self.weight.shape)
        rows = np.repeat(np.arange(self.weight.shape[0]), np.diff(self.weight.indptr))
        self.mask[rows, self.weight.indices.astype(np.int64)] = 1.0

    def parts(self) -> Parts:
        linear, mm = self.torch.nn.functional.linear, self.torch.mm
        return {
            "forward": lambda: linear(self.xr, self.w * self.mask),
            "dx": lambda: mm(self.dyr, self.w * self.mask),
            "dw": lambda: mm(self.dyr.t(), self.xr) * self.mask,
        }


class SparseTorch(LinearRival):
    """``torch.sparse`` CSR: a transpose lies ready for dx; dW is ``sampled_addmm``."""

    name, needs = "torch.sparse", "torch"

    def setup(self) -> None:
        import torch

        torch.set_num_threads(self.threads)
        self.torch = torch
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            self.w, self.wt = (self._csr(m) for m in (self.weight, self.weight.T.tocsr()))
        self.xc, self.dyc = torch.from_numpy(self.x), torch.from_numpy(self.dy)

    def _csr(self, matrix: Any) -> Any:
        arrays = (matrix.indptr.astype(np.int32), matrix.indices.astype(np.int32), matrix.data)
        indptr, indices, values = (self.torch.from_numpy(np.array(a)) for a in arrays)
        return self.torch.sparse_csr_tensor(indptr, indices, values, matrix.shape)

    def parts(self) -> Parts:
        mm, sampled, xr = self.torch.sparse.mm, self.torch.sparse.sampled_addmm, self.xc.t()
        return {
            "forward": lambda: mm(self.w, self.xc),
            "dx": lambda: mm(self.wt, self.dyc),
            "dw": lambda: sampled(self.w, self.dyc, xr, beta=0.0),
        }


class MKL(LinearRival):
    """Intel MKL's sparse times dense, through ``sparse_dot_mkl``: forward and dx."""

    name, needs = "MKL sparse", "sparse_dot_mkl"

    def setup(self) -> None:
        # pip puts the library where sparse_dot_mkl does not look.
        found = sorted(glob.glob(os.path.join(sys.prefix, "lib", "libmkl_rt.*")))
        if found:
            os.environ.setdefault("MKL_RT", found[-1])
        import sparse_dot_mkl

        sparse_dot_mkl.mkl_set_num_threads_local(self.threads)
        self.product = sparse_dot_mkl.dot_product_mkl
        self.weight.indptr = self.weight.indptr.astype(np.int32)
        self.turned = self.weight.T.tocsr()
        self.outs = [np.zeros_like(self.dy), np.zeros_like(self.x)]

    def parts(self) -> Parts:
        y, dx = self.outs
        return {
            "forward": lambda: self.product(self.weight, self.x, out=y),
            "dx": lambda: self.product(self.turned, self.dy, out=dx),
        }


class SparseProp(LinearRival):
    """SparseProp's raw C++ kernels, without the transpositions around them."""

    name, needs = "SparseProp", "sparseprop"
    how = SPARSEPROP

    def setup(self) -> None:
        import torch  # noqa: F401  (its library needs PyTorch's)
        from sparseprop import backend

        self.backend = backend
        w = self.weight
        self.csr = (w.indptr.astype(np.int32), w.indices.astype(np.int32), w.data)
        # The kernels add to their outputs, so zeroing these is not timed.
        self.outs = [np.zeros_like(self.dy), np.zeros_like(self.x), np.zeros_like(w.data)]

    def parts(self) -> Parts:
        y, dx, dw = self.outs
        forward = self.backend.sparse_linear_vectorized_forward
        backward = self.backend.sparse_linear_vectorized_backward
        return {
            "forward": lambda: forward(self.x, *self.csr, y),
            "dx+dw": lambda: backward(self.x, *self.csr, self.dy, dx, dw),
        }


class SparseLab(LinearRival):
    """SparseLab's padded CSR kernels; refreshing the transposed copy is not timed."""

    name, needs, how = "SparseLab", "sparselab", SPARSELAB

    def setup(self) -> None:
        from sparselab import PaddedCSR, _core

        self.core = _core
        helper = SparseTorch(self.weight, 1, self.threads)
        self.w = PaddedCSR.from_torch_sparse_csr(helper.w)
        self.wt = PaddedCSR.from_torch_sparse_csr(helper.wt)

    def parts(self) -> Parts:
        return {
            "forward": lambda: self.core.spmm_simd(self.w, self.x),
            "dx": lambda: self.core.spmm_simd(self.wt, self.dy),
            "dw": lambda: self.core.spmm_grad_w_simd(self.w, self.dy, self.x),
        }


#: A new rival is one class above and one entry here, beside those that share its thread pool.
RIVALS: tuple[type[LinearRival], ...] = (
    DenseNumPy,
    SciPy,
    DenseTorch,
    OneDNN,
    BFloat16Torch,
    MaskedTorch,
    SparseTorch,
    MKL,
    SparseProp,
    SparseLab,
)
