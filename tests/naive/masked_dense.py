"""Training with masks over dense weights, and how many weights each layer gets."""

import math

import numpy as np

from naive.layers import linear, linear_backward, relu
from naive.training import sgd, softmax_cross_entropy


class MaskedDense:
    """Masks over dense weights, gradients and momenta; trained by SGD with Nesterov momentum.

    ``remembers`` keeps the momentum of inactive weights, as sparse momentum needs it; all others
    have momentum of active weights only.

    ``group`` rows share their columns, fewer in the last group of a layer: then positions are those
    of a matrix with a row for each group, and scores are means over the rows of a group. ``seen``
    are the weights that the engine grew, of which chance may have chosen some.
    """

    remembers, group, seen = False, 1, None

    def __init__(self, weights, masks, biases, *, rate, momentum, p0, total_steps):
        self.w = [w.copy() for w in weights]
        self.mask = [m.copy() for m in masks]
        self.b = [b.copy() for b in biases]
        self.m = [np.zeros_like(w) for w in weights]
        self.mb = [np.zeros_like(b) for b in biases]
        self.rate, self.momentum, self.p0, self.total = rate, momentum, p0, total_steps
        self.log = []

    def gradients(self, x, y):
        hs = [x]
        for k, (w, b) in enumerate(zip(self.w, self.b, strict=True)):
            z = linear(w, b, hs[-1])
            hs.append(relu(z) if k < len(self.w) - 1 else z)
        _, d = softmax_cross_entropy(hs[-1], y)
        gw, gb = [None] * len(self.w), [None] * len(self.w)
        for k in range(len(self.w) - 1, -1, -1):
            dx, gw[k], gb[k] = linear_backward(self.w[k], hs[k], d)
            d = dx * (hs[k] > 0)
        return gw, gb

    def step(self, x, y):
        gw, gb = self.gradients(x, y)
        for k in range(len(self.w)):
            new, m = sgd(self.w[k], gw[k], self.m[k], self.rate, self.momentum, 0.0, True)
            self.w[k] = new * self.mask[k]
            self.m[k] = m if self.remembers else m * self.mask[k]
            self.b[k], self.mb[k] = sgd(
                self.b[k], gb[k], self.mb[k], self.rate, self.momentum, 0.0, True
            )

    def columns(self, k):
        """The mask of layer k, with a row for each group."""
        return self.mask[k][:: self.group]

    def fold(self, matrix):
        """Mean magnitudes of the rows of each group."""
        groups = range(0, len(matrix), self.group)
        return np.array([np.abs(matrix[i : i + self.group]).mean(axis=0) for i in groups])

    def spread(self, k, keys):
        """The weights that some positions of groups have, in order."""
        n_out, n_in = self.mask[k].shape
        rows = [(key // n_in * self.group + r, key % n_in)
                for key in keys for r in range(self.group)]  # fmt: skip
        return np.sort(np.array([i * n_in + j for i, j in rows if i < n_out], dtype=int))

    def gather(self, k, keys):
        """The positions of groups that have these weights; all of each group, or the test fails."""
        n_in = self.mask[k].shape[1]
        found = np.unique(keys // n_in // self.group * n_in + keys % n_in)
        assert np.array_equal(self.spread(k, found), np.sort(keys)), "a part of a shared column"
        return found

    def whole(self, k):
        """How many positions lie in groups that have all their rows."""
        return len(self.mask[k]) // self.group * self.mask[k].shape[1]

    def smallest(self, k, count):
        """The ``count`` active weights of layer k nearest zero, the first ones where some tie."""
        magnitude = np.where(self.columns(k), self.fold(self.w[k]), np.inf).ravel()
        return np.sort(np.argsort(magnitude, kind="stable")[:count])

    def settle(self, k, lost, won):
        """As many come as go in a last group of fewer rows; the difference is made up elsewhere."""
        size = {"last": won[won >= self.whole(k)], "whole": won[won < self.whole(k)]}
        gone = lost[lost >= self.whole(k)]
        more = len(size["last"]) - len(gone)
        if more == 0:
            return lost, won
        score, active = self.fold(self.w[k]).ravel(), np.flatnonzero(self.columns(k))
        in_last = active >= self.whole(k)
        grows, shrinks = (in_last, ~in_last) if more > 0 else (~in_last, in_last)
        stay = active[grows & ~np.isin(active, lost)]
        too = stay[np.argsort(score[stay], kind="stable")[: abs(more)]]
        back = active[shrinks & np.isin(active, lost) & ~np.isin(active, won)]
        kept = back[np.argsort(-score[back], kind="stable")[: abs(more)]]
        wide = np.sort(size["last" if more > 0 else "whole"])
        won = np.setdiff1d(won, wide[len(wide) - abs(more) + len(too) :])
        if len(kept) < abs(more):  # then chance grows the rest
            fresh = np.setdiff1d(self.gather(k, self.seen[k]), won)
            won = np.union1d(won, fresh[fresh < self.whole(k)][: abs(more) - len(kept)])
        return np.union1d(np.setdiff1d(lost, kept), too), won

    def rewire(self, k, lost, won, values=0.0):
        """Drop and grow in layer k; a weight that goes and comes back keeps what it has."""
        lost, won = (self.spread(k, keys) for keys in self.settle(k, lost, won))
        old = self.mask[k].ravel()
        mask = old.copy()
        mask[lost] = False
        mask[won] = True
        fresh = won[~old[won]]
        assert mask.sum() == old.sum() - len(lost) + len(won), "grown where weights are"
        self.mask[k] = mask.reshape(self.w[k].shape)
        self.w[k] = self.w[k] * self.mask[k]
        self.w[k].reshape(-1)[fresh] = values
        if not self.remembers:
            self.m[k] = self.m[k] * self.mask[k]
            self.m[k].reshape(-1)[fresh] = 0
        self.log.append((lost, won))


def cosine_rate(p0, t, total):
    return 0.005 + (p0 - 0.005) * (1 + math.cos(math.pi * t / total)) / 2


def water_fill_by_sweeps(shares, caps, total):
    """The reference code's loop: full layers pass their surplus on, evenly, until none is left."""
    g = np.ceil(shares * total).astype(float)
    bonus = 0.0
    for _ in range(1000):
        residual = 0.0
        for i in range(len(g)):
            x = g[i] + bonus
            residual += max(x - caps[i], 0)
            g[i] = min(x, caps[i])
        bonus = residual / len(g)
        if residual == 0:
            break
    return np.floor(g)


def largest_remainders(wanted, total, caps):
    """Round to integers that add up to ``total``: the largest remainders are rounded up."""
    counts = np.floor(wanted + 1e-9).astype(int)
    order = np.argsort(-(wanted - counts), kind="stable")
    order = [k for k in order if counts[k] < caps[k]]
    for k in order[: int(total - counts.sum())]:
        counts[k] += 1
    return counts
