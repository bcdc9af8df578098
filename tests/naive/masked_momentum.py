"""Sparse momentum, with masks over dense weights."""

import math

import numpy as np

from naive.masked_dense import MaskedDense, cosine_rate, largest_remainders
from naive.training import adam


class MaskedDenseSparseMomentum(MaskedDense):
    """Sparse momentum as published.

    nnz is kept exact as the package does: quotas are the closed form, rounded by largest
    remainders, and where fewer inactive positions have momentum than a layer is to grow, the test
    fails rather than guess. ``redistribution``: momentum, magnitude or nonzero.
    """

    remembers = True
    redistribution = "momentum"

    def importance(self, k):
        if self.redistribution == "magnitude":
            return np.abs(self.w[k][self.mask[k]]).mean()
        if self.redistribution == "nonzero":
            return self.mask[k].sum()
        return np.abs(self.m[k][self.mask[k]]).mean()

    def update(self, t):
        layers = range(len(self.w))
        p = cosine_rate(self.p0, t, self.total)
        v = np.array([self.importance(k) for k in layers])
        q = v / v.sum()
        drops = []
        for k in layers:
            nz, size = self.columns(k).sum(), self.columns(k).size
            sparsity = 1 - nz / size
            rate = min(sparsity, p) if sparsity < 0.2 and q[k] > 1 / len(self.w) else p
            drops.append(self.smallest(k, min(math.ceil(rate * nz), nz - 1)))
        # Layers exchange shared columns of whole groups.
        last = [(drops[k] >= self.whole(k)).sum() for k in layers]
        total = sum(map(len, drops)) - sum(last)
        used = [self.columns(k).ravel()[: self.whole(k)].sum() for k in layers]
        free = np.array([self.whole(k) - used[k] + len(drops[k]) - last[k] for k in layers])
        caps = 0.99 * free
        g = q * total
        full = np.zeros(len(g), bool)
        while True:
            c = (total - caps[full].sum() - g[~full].sum()) / (~full).sum()
            over = ~full & (g + c > caps)
            if not over.any():
                break
            full |= over
        wanted = np.where(full, caps, g + c)
        counts = largest_remainders(wanted, total, np.floor(caps))
        for k in layers:
            mask = self.columns(k).ravel().copy()
            mask[drops[k]] = False
            score = np.where(mask, -1.0, self.fold(self.m[k]).ravel())
            best = np.sort(np.argsort(-score, kind="stable")[: counts[k] + last[k]])
            assert (score[best] > 0).all()
            self.rewire(k, drops[k], best)


class MaskedDenseAdamMomentum(MaskedDenseSparseMomentum):
    """The same under Adam: shares by the mean of |m / (sqrt(v) + 1e-8)|, growth by |m|.

    The authors' code grows by the quotient too; inactive weights have no v here. A new weight
    starts with v = m^2.
    """

    def __init__(self, *arguments, **options):
        super().__init__(*arguments, **options)
        self.v = [np.zeros_like(w) for w in self.w]
        self.vb = [np.zeros_like(b) for b in self.b]
        self.t = 0

    def importance(self, k):
        if self.redistribution != "momentum":
            return super().importance(k)
        quotient = np.abs(self.m[k]) / (np.sqrt(self.v[k]) + 1e-8)
        return quotient[self.mask[k]].mean()

    def step(self, x, y):
        gw, gb = self.gradients(x, y)
        for own, gradients, m, v in ((self.w, gw, self.m, self.v), (self.b, gb, self.mb, self.vb)):
            for k, g in enumerate(gradients):
                own[k], m[k], v[k] = adam(
                    own[k], g, m[k], v[k], self.rate, 0.9, 0.999, 1e-8, 0.0, True, self.t
                )
        self.w = [w * mask for w, mask in zip(self.w, self.mask, strict=True)]
        self.t += 1

    def rewire(self, k, lost, won, values=0.0):
        fresh = self.spread(k, won)
        fresh = fresh[~self.mask[k].ravel()[fresh]]
        super().rewire(k, lost, won, values)
        self.v[k].reshape(-1)[fresh] = self.m[k].reshape(-1)[fresh] ** 2
