"""The other rules, with masks over dense weights."""

import math

import numpy as np

from naive.masked_dense import MaskedDense, cosine_rate, largest_remainders


class MaskedDenseRigL(MaskedDense):
    """RigL as published: the dense gradient of one batch, which trains nothing else."""

    rounding, regrows, forgets = math.floor, True, False

    def update(self, x, y, t, allowed=None):
        """``allowed``: sets of positions that may grow, one per layer (GSE's subset)."""
        gw, _ = self.gradients(x, y)
        alpha = self.p0 * (1 + math.cos(math.pi * t / self.total)) / 2
        for k, g in enumerate(gw):
            count = type(self).rounding(alpha * self.columns(k).sum())
            free = ~self.columns(k).ravel()
            if allowed is not None:
                count = min(count, len(allowed[k]))
                free &= np.isin(np.arange(free.size), allowed[k])
            lost = self.smallest(k, count)
            free[lost] = self.regrows
            score = np.where(free, self.fold(g).ravel(), -1.0)
            won = np.argsort(-score, kind="stable")[:count]
            again = self.spread(k, np.intersect1d(lost, won))
            self.rewire(k, lost, won)
            if self.forgets:  # what comes back starts anew
                self.w[k].reshape(-1)[again] = self.m[k].reshape(-1)[again] = 0


class MaskedDenseGSE(MaskedDenseRigL):
    """Guided stochastic exploration, once its subset is drawn."""

    rounding, regrows = math.ceil, False


class MaskedDenseSET(MaskedDense):
    """SET: ``grown`` are the positions that chance chose, ``values`` what they start with."""

    signed = False

    def drops(self, k, t):
        if not self.signed:
            count = int(cosine_rate(self.p0, t, self.total) * self.columns(k).sum())
            return self.smallest(k, count)
        w = self.w[k].ravel() if self.group == 1 else self.fold(self.w[k]).ravel()  # without signs
        active = np.flatnonzero(self.columns(k))
        lost = []
        for side in (active[w[active] > 0], active[w[active] <= 0]):
            nearest = np.argsort(np.abs(w[side]), kind="stable")[: int(self.p0 * len(side))]
            lost.extend(side[nearest])
        return np.sort(lost)

    def update(self, t, grown, values):
        for k, won in enumerate(grown):
            lost, won = self.drops(k, t), self.gather(k, won)
            assert len(won) == len(lost)
            self.rewire(k, lost, won, values[k] if self.signed else 0.0)


class MaskedDenseDSR(MaskedDense):
    """DSR: the threshold ``height`` follows ``p0`` times the number of weights."""

    height = None

    def update(self, t, grown, values):
        layers = range(len(self.w))
        held = [self.fold(self.w[k])[self.columns(k)] for k in layers]
        below = [int((magnitudes < self.height).sum()) for magnitudes in held]
        drops = [self.smallest(k, min(below[k], len(held[k]) - 1)) for k in layers]
        last = np.array([(drops[k] >= self.whole(k)).sum() for k in layers])
        nnz = np.array([self.columns(k).ravel()[: self.whole(k)].sum() for k in layers])
        gone = np.array([len(lost) for lost in drops]) - last
        if gone.sum() < 0.9 * self.p0 * nnz.sum():
            self.height *= 2
        elif gone.sum() > 1.1 * self.p0 * nnz.sum():
            self.height /= 2
        stay, free = nnz - gone, np.array([self.whole(k) for k in layers]) - nnz
        wanted, left = np.zeros(len(gone)), float(gone.sum())
        while left > 1e-9:
            weight = np.where(wanted < free, stay, 0)
            wanted = np.minimum(wanted + left * weight / weight.sum(), free)
            left = gone.sum() - wanted.sum()
        grown = [self.gather(k, grown[k]) for k in layers]
        counts = largest_remainders(wanted, gone.sum(), free) + last
        for k in layers:  # chance fills what a last group took where no dropped weight could stay
            took = (grown[k] >= self.whole(k)).sum() - last[k]
            counts[k] += max(0, took - gone[k])
        assert [len(won) for won in grown] == counts.tolist()
        for k in layers:
            self.rewire(k, drops[k], grown[k])


class MaskedDenseDeepR(MaskedDense):
    """Deep rewiring without noise: ``sign`` of every position, ``shrinkage`` of every step."""

    sign, shrinkage = None, 0.0

    def update(self, t, grown, values):
        for k, won in enumerate(grown):
            theta = (self.w[k] * self.sign[k] - self.rate * self.shrinkage) * self.mask[k]
            self.w[k] = theta * self.sign[k]
            groups = range(0, len(theta), self.group)
            sums = np.array([theta[i : i + self.group].sum(axis=0) for i in groups])
            lost, shared = np.flatnonzero(self.columns(k) & (sums <= 0)), self.gather(k, won)
            assert len(shared) == len(lost) or self.whole(k) < self.columns(k).size
            self.rewire(k, lost, shared, 1e-12 * self.sign[k].ravel()[np.sort(won)])


class MaskedDensePruning(MaskedDense):
    """Gradual pruning over all layers: keep p0 of all positions in the end."""

    begin, end, start = 0, 0, None

    def update(self, t, grown, values):
        self.start = self.start or sum(mask.sum() for mask in self.mask)
        end = round(self.p0 * sum(mask.size for mask in self.mask))
        left = 1 - min(max(t - self.begin, 0) / (self.end - self.begin), 1)
        wanted = round(end + (self.start - end) * left**3)
        left, drops = sum(mask.sum() for mask in self.mask) - wanted, [[] for _ in self.w]
        scores = [self.fold(w).ravel() for w in self.w]
        active = [np.flatnonzero(self.columns(k)) for k in range(len(self.w))]
        order = sorted((score[key], k, key) for k, score in enumerate(scores) for key in active[k]
                       if score[key] < score[active[k]].max())  # fmt: skip
        for _, k, key in order:
            size = len(self.spread(k, [key]))
            if size <= left:
                drops[k].append(key)
                left -= size
        for k, lost in enumerate(drops):
            self.rewire(k, np.array(lost, dtype=int), grown[k])

    def settle(self, k, lost, won):
        return lost, won
