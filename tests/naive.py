"""Plain NumPy twins of the kernels and algorithms. Nothing of sparsecpu is imported here.

Everything is dense, in the users' order, and as close to the equations as it gets.
"""

import math

import numpy as np


def to_tiles(x, lanes):
    """(samples, features) -> (tiles, features, lanes), zeros after the last sample."""
    samples, features = x.shape
    tiles = -(-samples // lanes)
    out = np.zeros((tiles, features, lanes), x.dtype)
    for s in range(samples):
        out[s // lanes, :, s % lanes] = x[s]
    return out


def from_tiles(tiled, samples):
    """(tiles, features, lanes) -> (samples, features)."""
    return np.array([tiled[s // tiled.shape[2], :, s % tiled.shape[2]] for s in range(samples)])


def dense(shape, indptr, indices, data):
    w = np.zeros(shape, np.float64)
    for i in range(shape[0]):
        for k in range(indptr[i], indptr[i + 1]):
            w[i, indices[k]] = data[k]
    return w


def at_nonzeros(matrix, indptr, indices):
    rows = np.repeat(np.arange(len(indptr) - 1), np.diff(indptr))
    return matrix[rows, indices]


def linear(w, b, x):
    return x @ w.T + b


def linear_backward(w, x, dy):
    return dy @ w, dy.T @ x, dy.sum(axis=0)


def bf16(x):
    """float32 rounded to the nearest number of 8 significant bits, ties to even."""
    mantissa, exponent = np.frexp(np.asarray(x, np.float64))
    return np.ldexp(np.round(mantissa * 256) / 256, exponent)


def relu(x):
    return np.maximum(x, 0)


def softmax_cross_entropy(z, y, weights=None, smoothing=0.0):
    n, classes = z.shape
    w = np.ones(n) if weights is None else weights
    z = z - z.max(axis=1, keepdims=True)
    p = np.exp(z) / np.exp(z).sum(axis=1, keepdims=True)
    q = np.full((n, classes), smoothing / classes)
    q[np.arange(n), y] += 1 - smoothing
    loss = -(q * np.log(p)).sum(axis=1)
    return (w * loss).sum() / w.sum(), (w / w.sum())[:, None] * (p - q)


def sigmoid_cross_entropy(z, t, weights=None):
    w = np.ones(len(z)) if weights is None else weights
    p = 1 / (1 + np.exp(-z))
    loss = -(t * np.log(p) + (1 - t) * np.log(1 - p)).sum(axis=1)
    return (w * loss).sum() / w.sum(), (w / w.sum())[:, None] * (p - t)


def squared_error(z, t, weights=None):
    w = np.ones(len(z)) if weights is None else weights
    return (w * ((z - t) ** 2).sum(axis=1) / 2).sum() / w.sum(), (w / w.sum())[:, None] * (z - t)


def sgd(w, g, v, rate, momentum, decay, nesterov):
    g = g + decay * w
    v = momentum * v + g
    return w - rate * (g + momentum * v if nesterov else v), v


def adam(w, g, m, v, rate, b1, b2, eps, decay, decoupled, step):
    if decoupled:
        w = w - rate * decay * w
    else:
        g = g + decay * w
    m = b1 * m + (1 - b1) * g
    v = b2 * v + (1 - b2) * g * g
    mh, vh = m / (1 - b1 ** (step + 1)), v / (1 - b2 ** (step + 1))
    return w - rate * mh / (np.sqrt(vh) + eps), m, v


def batch_norm(x, gamma, beta, eps):
    mean, var = x.mean(axis=0), x.var(axis=0)
    return gamma * (x - mean) / np.sqrt(var + eps) + beta


def attention(q, k, v, owner, heads, causal):
    """(tokens, heads * size); tokens see those of the same owner, from 0 on, and not later ones."""
    y = np.zeros(q.shape)
    for rows, part, p in _attention_weights(q, k, owner, heads, causal):
        y[rows, part] = p @ v[rows, part]
    return y


def attention_backward(q, k, v, dy, owner, heads, causal):
    dq, dk, dv = np.zeros((3, *q.shape))
    scale = 1 / math.sqrt(q.shape[1] // heads)
    for rows, part, p in _attention_weights(q, k, owner, heads, causal):
        here = rows, part
        dp = dy[here] @ v[here].T
        ds = p * (dp - (p * dp).sum(axis=1, keepdims=True)) * scale
        dq[here], dk[here], dv[here] = ds @ k[here], ds.T @ q[here], p.T @ dy[here]
    return dq, dk, dv


def _attention_weights(q, k, owner, heads, causal):
    """Yield tokens of a sequence, as a column, features of a head, and the weights of both."""
    size = q.shape[1] // heads
    for one in np.unique(owner[owner >= 0]):
        rows = np.flatnonzero(owner == one)
        for head in range(heads):
            part = np.arange(head * size, (head + 1) * size)
            scores = q[rows[:, None], part] @ k[rows[:, None], part].T / math.sqrt(size)
            if causal:
                scores[np.triu_indices(len(rows), 1)] = -np.inf
            p = np.exp(scores - scores.max(axis=1, keepdims=True))
            yield rows[:, None], part, p / p.sum(axis=1, keepdims=True)


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


def largest_remainders(wanted, total, caps):
    """Round to integers that add up to ``total``: the largest remainders are rounded up."""
    counts = np.floor(wanted + 1e-9).astype(int)
    order = np.argsort(-(wanted - counts), kind="stable")
    order = [k for k in order if counts[k] < caps[k]]
    for k in order[: int(total - counts.sum())]:
        counts[k] += 1
    return counts


def unfold(x, kernel, stride, padding):
    """(samples, channels, h, w) -> (samples * pixels, channels * ky * kx): im2col, for tests."""
    windows = [window.reshape(len(x), -1) for _, _, window in _windows(x, kernel, stride, padding)]
    return np.stack(windows, axis=1).reshape(-1, windows[0].shape[1])


def to_planes(x, lanes):
    """(samples, channels, height, width) -> (tiles, height, channels, width, lanes)."""
    samples, channels, height, width = x.shape
    tiles = -(-samples // lanes)
    out = np.zeros((tiles, height, channels, width, lanes), x.dtype)
    for s in range(samples):
        out[s // lanes, ..., s % lanes] = x[s].transpose(1, 0, 2)
    return out


def from_planes(planes, samples):
    """(tiles, height, channels, width, lanes) -> (samples, channels, height, width)."""
    lanes = planes.shape[4]
    return np.array([planes[s // lanes, ..., s % lanes].transpose(1, 0, 2) for s in range(samples)])


def _windows(x, kernel, stride, padding, fill=0.0):
    """Yield (row, column, window) of a padded image stack."""
    edges = ((0, 0), (0, 0), (padding[0],) * 2, (padding[1],) * 2)
    padded = np.pad(x, edges, constant_values=fill)
    for i in range((padded.shape[2] - kernel[0]) // stride[0] + 1):
        for j in range((padded.shape[3] - kernel[1]) // stride[1] + 1):
            top, left = i * stride[0], j * stride[1]
            yield i, j, padded[:, :, top : top + kernel[0], left : left + kernel[1]]


def _out_size(x, kernel, stride, padding):
    return [(x.shape[2 + d] + 2 * padding[d] - kernel[d]) // stride[d] + 1 for d in (0, 1)]


def conv2d(x, w, b, stride, padding, groups):
    n_out, per_group = w.shape[:2]
    y = np.empty((len(x), n_out, *_out_size(x, w.shape[2:], stride, padding)))
    for i, j, window in _windows(x, w.shape[2:], stride, padding):
        for o in range(n_out):
            g = o // (n_out // groups) * per_group
            y[:, o, i, j] = (window[:, g : g + per_group] * w[o]).sum(axis=(1, 2, 3)) + b[o]
    return y


def conv2d_backward(x, w, dy, stride, padding, groups):
    """Return dx, dw, db: every product of the forward pass, once more."""
    n_out, per_group, kh, kw = w.shape
    (py, px), dw = padding, np.zeros(w.shape)
    dx = np.zeros((*x.shape[:2], x.shape[2] + 2 * py, x.shape[3] + 2 * px))
    for i, j, window in _windows(x, (kh, kw), stride, padding):
        top, left = i * stride[0], j * stride[1]
        for o in range(n_out):
            g = slice(o // (n_out // groups) * per_group, (o // (n_out // groups) + 1) * per_group)
            d = dy[:, o, i, j][:, None, None, None]
            dw[o] += (window[:, g] * d).sum(axis=0)
            dx[:, g, top : top + kh, left : left + kw] += w[o] * d
    dx = dx[:, :, py : py + x.shape[2], px : px + x.shape[3]]
    return dx, dw, dy.sum(axis=(0, 2, 3))


def max_pool(x, dy, kernel, stride, padding):
    """Return the maxima and dx; the first of equal pixels, row by row, wins."""
    y = np.empty((*x.shape[:2], *_out_size(x, kernel, stride, padding)))
    dx = np.zeros((*x.shape[:2], x.shape[2] + 2 * padding[0], x.shape[3] + 2 * padding[1]))
    for i, j, window in _windows(x, kernel, stride, padding, -np.inf):
        flat = window.reshape(*window.shape[:2], -1)
        y[:, :, i, j] = flat.max(axis=2)
        winner = flat.argmax(axis=2)
        for s in range(len(x)):
            for c in range(x.shape[1]):
                row, column = divmod(winner[s, c], kernel[1])
                dx[s, c, i * stride[0] + row, j * stride[1] + column] += dy[s, c, i, j]
    (py, px), (height, width) = padding, x.shape[2:]
    return y, dx[:, :, py : py + height, px : px + width]


def average_pool(x, dy, kernel, stride, padding):
    """Return the means, zeros of the padding counted, and dx."""
    w = np.zeros((x.shape[1], 1, *kernel)) + 1 / (kernel[0] * kernel[1])
    y = conv2d(x, w, np.zeros(x.shape[1]), stride, padding, x.shape[1])
    return y, conv2d_backward(x, w, dy, stride, padding, x.shape[1])[0]
